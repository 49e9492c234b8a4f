"""What a command did, so that two calls of it can be compared."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from detection.cli.main import main

PASSING = ("images_per_second", "waiting", "memory_gib", "seconds", "latency_ms")
"""What differs between two runs of the same thing."""


@dataclass(frozen=True)
class Seen:
    """status: of the exit. told: what was printed, less the folder's name and times. Of a training, None where there is
    none: weights: digest of the last checkpoint's; best: of the best one's; curves: of metrics.jsonl; predictions: of
    predictions.json. names: of the files, relative. drawn: bytes of TensorBoard's files."""

    status: int
    told: str
    weights: str | None
    best: str | None
    curves: str | None
    predictions: str | None
    names: tuple[str, ...]
    drawn: int


def see(folder: Path, arguments: list[str]) -> Seen:
    """Run a command whose arguments say {out} where `folder` is meant, which it makes."""
    torch.manual_seed(0)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([argument.replace("{out}", str(folder)) for argument in arguments])
    told = re.sub(r"\d+(\.\d+)? (images/s|ms)|ETA [\d:]+|in [\d.]+ s", "", out.getvalue() + err.getvalue())
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.exists() else []
    return Seen(
        status,
        told.replace(str(folder), "{out}"),
        _weights(folder / "last.pt"),
        _weights(folder / "best.pt"),
        _curves(folder / "metrics.jsonl"),
        _digest(folder / "predictions.json"),
        tuple(str(path.relative_to(folder)) for path in files if "tfevents" not in path.name),
        sum(path.stat().st_size for path in files if "tfevents" in path.name),
    )


def fresh(root: Path) -> Path:
    """A folder that is not there yet."""
    return next(path for k in itertools.count() if not (path := root / f"{k}").exists())


def _weights(file: Path) -> str | None:
    if not file.exists():
        return None
    content = torch.load(file, map_location="cpu", weights_only=False)
    found = hashlib.sha256()
    for name, tensor in content["model"].items():
        found.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _curves(file: Path) -> str | None:
    if not file.exists():
        return None
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return json.dumps([{key: value for key, value in row.items() if key not in PASSING} for row in rows])
