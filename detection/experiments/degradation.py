"""The degradation experiment: do deeper nets learn worse, plain and residual (He et al. 2015, figures 1, 4 and 6)?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbones.analysis.figures import Curve, error_curves
from backbones.analysis.tables import PAPER_ERRORS, markdown_table
from backbones.nets import NetName
from detection.config.pretrain import PretrainConfig
from detection.engine.class_images import load_class_splits
from detection.engine.classifier import check_net, pretrain
from detection.errors import InputError
from detection.experiments.report import Report, percent

LAST = 5
"""Training errors averaged for the error at the end: single reports are noisy."""


def degradation(config: PretrainConfig, nets: list[str], command: list[str]) -> Report:
    """Train every net with `config` into a folder of its own below `config.output`, and lay their curves side by side.

    A folder with a run is gone on with, so that a finished one costs nothing.
    """
    if config.dataset.val is None:
        raise InputError("dataset.val: null leaves no test curve; name a split")
    configs = [
        replace(config, output=f"{config.output}/{net}", resume=True, net=replace(config.net, name=net)) for net in nets
    ]
    for run in configs:
        check_net(run.net)
    splits = load_class_splits(config)
    found = {}
    for net, run in zip(nets, configs):
        pretrain(run, splits)
        found[net] = read_run(Path(run.output))
    curves = {net: _curve(run) for net, run in found.items()}
    figure = error_curves(
        curves, f"{config.train.iterations or ''} iterations on {Path(str(config.data)).name}".strip()
    )
    rows = {net: _summary(run) for net, run in found.items()}
    return Report(
        "degradation",
        "Degradation: plain and residual nets of several depths",
        command,
        {"summary": rows, "runs": found},
        f"{_table(config, rows)}\n{_findings(rows)}",
        {"degradation": figure},
    )


def read_run(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """`train` and `val` reports of a run, from its metrics.jsonl."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        kind: [{k: v for k, v in r.items() if k != "kind"} for r in rows if r["kind"] == kind]
        for kind in ("train", "val")
    }


def _curve(run: dict[str, list[dict[str, Any]]]) -> Curve:
    train, val = run["train"], run["val"]
    return Curve(
        [row["iteration"] for row in train],
        [100 * row["error"] for row in train],
        [row["iteration"] for row in val],
        [100 * row["top1_error"] for row in val],
        window=3,
    )


def _summary(run: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    last = run["train"][-LAST:]
    return {
        "iterations": run["train"][-1]["iteration"],
        "training_error": sum(row["error"] for row in last) / len(last),
        "training_loss": sum(row["loss"] for row in last) / len(last),
        "test_error": run["val"][-1]["top1_error"],
    }


def _table(config: PretrainConfig, rows: dict[str, dict[str, float]]) -> str:
    header = ["net", "iterations", "training error %", "training loss", "test error %", "paper, full schedule, test %"]
    cells = []
    for net, row in rows.items():
        published = PAPER_ERRORS.get((net, NetName.parse(net).shortcut(config.net.shortcut)))
        numbers = [percent(row["training_error"]), f"{row['training_loss']:.3f}", percent(row["test_error"])]
        cells.append([net, int(row["iterations"]), *numbers, "not given" if published is None else published.top1])
    return markdown_table(header, cells, "lrrrrr")


def _findings(rows: dict[str, dict[str, float]]) -> str:
    """What depth does to the training error within each family, in a sentence each."""
    lines = [f"Training error is the mean of the last {LAST} reports, on augmented images; test error is the last one."]
    for family in ("plain", "resnet"):
        nets = sorted((net for net in rows if family in net), key=lambda net: NetName.parse(net).depth)
        if len(nets) > 1:
            change = 100 * (rows[nets[-1]]["training_error"] - rows[nets[0]]["training_error"])
            word = "above" if change > 0 else "below"
            lines.append(f"{nets[-1]} ends {abs(change):.2f} points {word} {nets[0]} in training error.")
    return "\n".join(lines)
