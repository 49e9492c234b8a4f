"""The small files of an experiment's runs, kept where checkpoints are not: beside its results, to be committed.

With them a machine that never saw the runs knows which are finished and what they found, and goes on with the others.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.files.atomic import write_atomically

KEPT = (
    *("rates/*.json", "pretrain/*/error.json", "pretrain/*/metrics.jsonl", "pretrain/*/right.npy"),
    *("pretrain/*/versions.json", "detect/*.json", "detect/*/*/*/evaluation.json", "detect/*/*/*/diverged.txt"),
    "tested/*/*.json",
)
"""Below the folder of the runs."""
PACKED = "tested/*/*.json"
"""Detections, of which only the packed form is kept."""


def keep(runs: Path, record: Path) -> None:
    """Copy what is small and new into the record; of a pretraining that is not finished, nothing."""
    for pattern in KEPT:
        for file in sorted(runs.glob(pattern)):
            place = file.relative_to(runs)
            if place.parts[0] == "pretrain" and not (file.parent / "right.npy").exists():
                continue
            content = file.read_bytes()
            if place.match(PACKED):
                place, content = place.with_name(f"{place.name}.gz"), gzip.compress(content, mtime=0)
            if not (record / place).exists() or (record / place).read_bytes() != content:
                (record / place).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(record / place, content)


def restore(record: Path, runs: Path, plan: dict[str, Any]) -> None:
    """Put back what the folder of the runs lacks; a pretraining or a training that has begun there is left alone.

    plan: how large the experiment is. Raises `InputError` where the record is of another.
    """
    file = record / "plan.json"
    if file.exists() and json.loads(file.read_text()) != plan:
        raise InputError(f"{file}: is of another experiment, {file.read_text()}; give another folder with --results")
    record.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(plan).encode())
    begun = {file.parent.relative_to(runs) for file in runs.rglob("config.yaml")}
    for file in sorted(record.rglob("*")):
        place = file.relative_to(record)
        packed = place.suffix == ".gz"
        target = runs / (place.with_suffix("") if packed else place)
        if not file.is_file() or file.name == "plan.json" or target.exists() or place.parent in begun:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, gzip.decompress(file.read_bytes()) if packed else file.read_bytes())


def forget_net(runs: Path, net: str) -> None:
    """Of a net whose weights are gone: everything but its learning rates, so that it is trained once more."""
    for folder in (runs / "pretrain" / net, runs / "detect" / net):
        shutil.rmtree(folder, ignore_errors=True)
