"""The degradation experiment: do deeper nets learn worse, plain and residual (He et al. 2015, figures 1, 4 and 6)?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backbones.nets import NetName
from detection.config.pretrain import PretrainConfig
from detection.errors import InputError
from detection.experiments.figures import Curve, error_curves
from detection.experiments.jobs import Jobs
from detection.experiments.published import PAPER_ERRORS
from detection.experiments.report import Report, percent
from detection.markdown import markdown_table
from detection.training.classifier import pretrain, with_net

LAST = 5
"""Training errors averaged for the error at the end: single reports are noisy."""


def degradation(config: PretrainConfig, nets: list[str], command: list[str], jobs: int = 1) -> Report:
    """Train every net, NET or NET:OPTION with an option of the shortcut, with `config` into a folder of its own below
    `config.output`, and lay their curves side by side.

    A folder with a run is resumed, so that a finished one costs nothing. jobs: nets that are trained at once.
    """
    if config.dataset.val is None:
        raise InputError("dataset.val: null leaves no curve beside the training error; name a split")
    held_out = "test" if config.dataset.val == "test" else "validation"
    configs = {net: with_net(config, net, f"{config.output}/{net.replace(':', '_')}") for net in nets}
    with Jobs(jobs, Path(config.output) / "logs") as pool:
        pool.each(_train, [(run,) for run in configs.values()])
    found = {net: read_run(Path(run.output)) for net, run in configs.items()}
    curves = {net: curve_of(run) for net, run in found.items()}
    title = f"{config.train.iterations or ''} iterations on {Path(str(config.data)).name}".strip()
    figure = error_curves(curves, title, held_out=held_out)
    rows = {net: _summary(run) for net, run in found.items()}
    return Report(
        "degradation",
        "Degradation: plain and residual nets of several depths",
        command,
        {"held_out": held_out, "summary": rows, "runs": found},
        f"{_table(configs, rows, held_out)}\n{_findings(rows, held_out)}\n{_gaps(found)}",
        {"degradation": figure},
    )


def _train(config: PretrainConfig) -> None:
    pretrain(config)


def read_run(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """`train` and `val` reports of a run, from its metrics.jsonl."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        kind: [{k: v for k, v in r.items() if k != "kind"} for r in rows if r["kind"] == kind]
        for kind in ("train", "val")
    }


def curve_of(run: dict[str, list[dict[str, Any]]]) -> Curve:
    """The curves of what `read_run` gives."""
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
        "iterations": last[-1]["iteration"],
        "training_error": _training_error(run, last[-1]["iteration"]),
        "training_loss": sum(row["loss"] for row in last) / len(last),
        "held_out_error": run["val"][-1]["top1_error"],
    }


def _table(configs: dict[str, PretrainConfig], rows: dict[str, dict[str, float]], held_out: str) -> str:
    errors = ["training error %", "training loss", f"{held_out} error %"]
    header = ["net", "iterations", *errors, "paper, full schedule, test %"]
    cells = []
    for net, row in rows.items():
        published = PAPER_ERRORS.get((configs[net].net.name, _parsed(net).shortcut(configs[net].net.shortcut)))
        numbers = [percent(row["training_error"]), f"{row['training_loss']:.3f}", percent(row["held_out_error"])]
        cells.append([net, int(row["iterations"]), *numbers, "not given" if published is None else published.top1])
    return markdown_table(header, cells, "lrrrrr")


def _findings(rows: dict[str, dict[str, float]], held_out: str) -> str:
    """What depth does to the training error within each family, in a sentence each."""
    lines = [
        f"Training error is the mean of the last {LAST} reports, on augmented images; {held_out} error is the last one."
    ]
    for shallow, deep in _families(list(rows)):
        change = 100 * (rows[deep]["training_error"] - rows[shallow]["training_error"])
        word = "above" if change > 0 else "below"
        lines.append(f"{deep} ends {abs(change):.2f} points {word} {shallow} in training error.")
    return "\n".join(lines)


def _families(nets: list[str]) -> list[tuple[str, str]]:
    """The shallowest and the deepest net of each family that has two."""
    pairs = []
    for plain in (True, False):
        family = sorted((n for n in nets if _parsed(n).plain == plain), key=lambda n: _parsed(n).depth)
        if len(family) > 1 and _parsed(family[0]).depth < _parsed(family[-1]).depth:
            pairs.append((family[0], family[-1]))
    return pairs


def _parsed(net: str) -> NetName:
    return NetName.parse(net.partition(":")[0])


def _gaps(found: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """How far the deepest net's training error is above the shallowest's, along the run: does it catch up?"""
    pairs = _families(list(found))
    if not pairs:
        return ""
    iterations = [row["iteration"] for row in found[pairs[0][0]]["val"]]
    header = ["training error, points", *(str(i) for i in iterations)]
    rows: list[list[object]] = []
    for shallow, deep in pairs:
        gaps = [_training_error(found[deep], i) - _training_error(found[shallow], i) for i in iterations]
        rows.append([f"{deep} above {shallow}", *(f"{100 * gap:.1f}" for gap in gaps)])
    return f"\n{markdown_table(header, rows, 'l' + 'r' * len(iterations))}"


def _training_error(run: dict[str, list[dict[str, Any]]], iteration: int) -> float:
    """Mean of the last reports up to `iteration`."""
    last = [row["error"] for row in run["train"] if row["iteration"] <= iteration][-LAST:]
    return sum(last) / len(last)
