"""Backbones side by side: errors as classifiers, AP as detectors, how sure both are, and what each costs.

Written at any time: nets and rows that are not finished are named as missing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from detection.config.pretrain import PretrainConfig
from detection.evaluation.bootstrap import Interval
from detection.experiments.backbone_detection import DetectionPlan, best_residual, plan_as_json
from detection.experiments.backbone_numbers import (
    PAIRS,
    Detected,
    Difference,
    Pretrained,
    ap_difference,
    detected,
    error_difference,
    missing,
    read_pretrained,
    row_as_json,
)
from detection.experiments.backbone_pretraining import finished, read_right
from detection.experiments.degradation import curve_of, read_run
from detection.experiments.figures import cost_figure, error_curves
from detection.experiments.report import Report, percent
from detection.markdown import markdown_table

PRETRAINING_NOTE = """Top-1 and top-5 errors are of the data's validation split, 1-crop, by the weights with the lowest
top-1 error on images held out of the training split, where the learning rate is chosen too; ± is half of the 95 %
interval over other images. One run each: differences between seeds are not in it. Training error is the mean of the
last five reports, of augmented images. Images a second are the median of a run beside other work."""

DETECTION_NOTE = """AP is COCO's, on the test split; learning rates and the net that is improved are chosen on the
validation split. Each row has one training a seed, an ensemble one of all. [low, high] holds 95 % of the bootstrap
resamples of the test images, for the mean over seeds; deviation is that over seeds. Multiply-adds are those of one
plain pass of each net of a row, time is the median beside other work."""


def backbone_report(
    config: PretrainConfig, plan: DetectionPlan, nets: tuple[str, ...], command: list[str], resamples: int = 1000
) -> Report:
    """Everything that is finished below `plan.runs`."""
    pretrained = {net: read_pretrained(config, plan.runs, net) for net in nets if finished(plan.runs, net)}
    rows = detected(plan, nets, resamples)
    right = {net: read_right(plan.runs, net) for net in pretrained}
    errors = [error_difference(a, b, right) for a, b in PAIRS if a in right and b in right]
    gains = [ap_difference(a, b, rows) for a, b in PAIRS if a in rows and b in rows]
    best = best_residual(plan, nets)
    gains += [ap_difference(name, best, rows) for name in rows if best is not None and name not in nets]
    figures = {}
    if pretrained:
        curves = {net: curve_of(read_run(plan.runs / "pretrain" / net)) for net in pretrained}
        figures["pretraining"] = error_curves(curves, "Pretraining, everything else equal", held_out="held out")
    single = {net: rows[net] for net in nets if net in rows}
    if single:
        points = {net: (row.multiply_adds / 1e9, [100 * ap for ap in row.ap]) for net, row in single.items()}
        title = "Detection over cost, a dot for each seed"
        figures["detection"] = cost_figure(points, title, "multiply-adds an image (G)", "AP on the test split (%)")
    numbers = {
        "pretraining": {net: asdict(found) for net, found in pretrained.items()},
        "pretraining_differences": [asdict(found) for found in errors],
        "detection": {name: row_as_json(row) for name, row in rows.items()},
        "detection_differences": [asdict(found) for found in gains],
        "plan": plan_as_json(plan),
        "missing": missing(nets, pretrained, rows, best),
    }
    text = "\n".join([_pretraining_text(pretrained, errors), _detection_text(rows, gains), _missing_text(numbers)])
    title = "Backbones compared, everything else equal"
    return Report("comparison", title, command, numbers, text, figures)


def _missing_text(numbers: dict[str, Any]) -> str:
    missing = numbers["missing"]
    return f"\nNot finished: {'; '.join(missing)}.\n" if missing else ""


def _pretraining_text(found: dict[str, Pretrained], differences: list[Difference]) -> str:
    if not found:
        return ""
    header = ["net", "layers", "parameters M", "multiply-adds M", "rate", "top-1 error %", "top-5 error %"]
    header += ["held out, top-1 %", "training error %", "images/s"]
    rows = [
        [
            net,
            run.depth,
            f"{run.parameters / 1e6:.2f}",
            f"{run.multiply_adds / 1e6:.0f}",
            f"{run.rate:g}",
            f"{percent(run.top1)} ± {percent(run.spread)}",
            None if run.top5 is None else percent(run.top5),
            percent(run.held_out),
            percent(run.training_error),
            f"{run.images_per_second:.0f}",
        ]
        for net, run in found.items()
    ]
    lines = ["## Pretraining", "", markdown_table(header, rows, "lrrrrrrrrr"), PRETRAINING_NOTE, ""]
    return "\n".join([*lines, _differences_text(differences, "top-1 error, points")])


def _detection_text(rows: dict[str, Detected], differences: list[Difference]) -> str:
    if not rows:
        return ""
    header = ["detector", "rate", "AP, each seed", "mean AP [95 %]", "deviation", "mean AP50"]
    header += ["parameters M", "multiply-adds G", "ms an image"]
    cells = [
        [
            name,
            f"{row.rate:g}",
            " ".join(f"{100 * ap:.1f}" for ap in row.ap),
            f"{100 * row.mean:.1f} {_bounds(row.interval, 1)}",
            "" if row.deviation is None else f"{100 * row.deviation:.1f}",
            f"{100 * float(np.mean(row.ap50)):.1f}",
            f"{row.parameters / 1e6:.2f}",
            f"{row.multiply_adds / 1e9:.2f}",
            f"{row.milliseconds:.0f}",
        ]
        for name, row in rows.items()
    ]
    lines = ["## Detection", "", markdown_table(header, cells, "lrlrrrrrr"), DETECTION_NOTE, ""]
    return "\n".join([*lines, _differences_text(differences, "mean AP, points")])


def _differences_text(differences: list[Difference], what: str) -> str:
    if not differences:
        return ""
    rows = [[d.row, d.reference, f"{100 * d.value:+.2f} {_bounds(d.interval, 2)}"] for d in differences]
    return markdown_table(["row", "minus", f"{what} [95 %]"], rows, "llr")


def _bounds(found: Interval | None, digits: int) -> str:
    return "" if found is None else f"[{100 * found.low:.{digits}f}, {100 * found.high:.{digits}f}]"
