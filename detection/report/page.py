"""The report as one HTML file that asks no network, and as text for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detection.counted import counted
from detection.data.image import read_image
from detection.evaluation.bootstrap import Interval
from detection.printable import printable
from detection.report.advice import next_steps
from detection.report.analysis import SIZES, Analysis
from detection.report.charts import curves
from detection.report.errors import BACKGROUND
from detection.report.gallery import LOWEST, Picture, cutout, gallery
from detection.report.history import History
from detection.report.missed import CAUSES
from detection.report.suspects import TEXTS
from detection.report.thresholds import Operation, curve

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#777")
"""Told apart by the colour-blind (Okabe and Ito)."""

CURVES = 8
"""Classes with a curve of their own; the others share one."""
SUSPECTS_SHOWN = 60
CONFUSED = 25
"""Classes of the confusion table at most: the most confused ones."""


@dataclass(frozen=True)
class Subject:
    """What is reported on, in words: title, and the line under it; command: that repeats it."""

    title: str
    subtitle: str
    command: str
    grey_bits: int = 16


def page(analysis: Analysis, history: History | None, subject: Subject) -> str:
    """The HTML."""
    folder = FileSystemLoader(Path(__file__).parent)
    template = Environment(autoescape=True, loader=folder, undefined=StrictUndefined).get_template("page.html.jinja")
    names = [printable(name) for name in analysis.index.class_names]
    return template.render(
        title=printable(subject.title),
        subtitle=printable(subject.subtitle),
        footer=printable(subject.command),
        colours=COLOURS,
        cards=_cards(analysis),
        steps=[printable(step) for step in next_steps(analysis, history)],
        classes=_classes(analysis, names),
        threshold_note=(
            "Thresholds are those with the best F1 on these very images, at an IoU of .5: a little optimistic. "
            "`frcnn threshold` keeps them in a checkpoint."
        ),
        training=_training(history),
        verdict=history.verdict if history else "",
        curves=_curves(analysis, names),
        tide=_tide(analysis),
        confusion=_confusion(analysis, names),
        slices=_slices(analysis),
        missed_note=_missed_note(analysis),
        causes=_causes(analysis),
        oracles=_oracles(analysis),
        class_names=names,
        cause_names=[(key, CAUSES[key].text) for key in CAUSES if analysis.count(key)],
        pictures=[_shown(picture, analysis) for picture in gallery(analysis, subject.grey_bits)],
        lowest=LOWEST,
        score=f"{max(analysis.overall.threshold or 0.5, LOWEST):.2f}",
        suspects=_suspects(analysis, names, subject.grey_bits),
        suspects_note=(
            "Annotations that the detector contradicts, the surest first. suspects.json has them all as a COCO file, "
            "which Label Studio and CVAT import."
        ),
    )


def _cards(analysis: Analysis) -> list[dict[str, str]]:
    stats, best = analysis.result.stats, analysis.overall
    cards = [
        {"name": name, "value": _percent(stats[name]), "note": _bounds(analysis.intervals.get(name))}
        for name in ("AP", "AP50")
    ]
    cards += [{"name": f"AP, {size}", "value": _percent(stats[key]), "note": ""} for size, key in _SIZE_KEYS.items()]
    cards.append({"name": "best threshold", "value": _number(best.threshold), "note": _operation(best)})
    return cards


_SIZE_KEYS = {"small": "APs", "medium": "APm", "large": "APl"}


def _classes(analysis: Analysis, names: list[str]) -> dict[str, Any]:
    rows = []
    for label, (name, own) in enumerate(zip(names, analysis.by_class)):
        numbers = list(analysis.result.per_class.values())[_order(analysis)[label]]
        found = [_percent(numbers["AP"]), _percent(numbers["AP50"]), str(int(analysis.matches[label].objects.sum()))]
        rows.append([name, *found, _number(own.threshold), _share(own.precision), _share(own.recall), _number(own.f1)])
    header = ["class", "AP", "AP50", "objects", "threshold", "precision", "recall", "F1"]
    return {"title": "By class", "header": header, "rows": rows}


def _order(analysis: Analysis) -> list[int]:
    """Of each label the place among the classes of the result, which come by their ids."""
    return np.argsort(np.argsort(analysis.index.category_ids)).tolist()


def _training(history: History | None) -> list[Any]:
    if history is None:
        return []
    losses = {"training loss": history.training_loss, "validation loss": history.validation_loss}
    return [
        curves({k: [(float(x), y) for x, y in points] for k, points in chart.items()}, "iteration", up)
        for chart, up in ((losses, "loss"), ({"AP": history.ap}, "AP"), ({"learning rate": history.rate}, "rate"))
    ]


def _curves(analysis: Analysis, names: list[str]) -> list[Any]:
    own = sorted(range(len(names)), key=lambda label: -int(analysis.matches[label].objects.sum()))[:CURVES]
    recall, f1 = {}, {}
    for label in own:
        found = curve([analysis.matches[label]])
        if len(found.scores):
            recall[names[label]] = list(zip(found.recall.tolist(), found.precision.tolist()))
            f1[names[label]] = list(zip(found.scores.tolist(), found.fbeta().tolist()))
    bins = [(score, share) for score, share, _ in analysis.errors.calibration]
    calibration = {f"error {analysis.errors.calibration_error:.3f}": bins, "calibrated": [(0.0, 0.0), (1.0, 1.0)]}
    return [
        curves(recall, "recall", "precision", unit=True),
        curves(f1, "threshold", "F1", unit=True),
        curves(calibration if bins else {}, "score", "share of right ones", unit=True),
    ]


def _tide(analysis: Analysis) -> dict[str, Any]:
    most = max((gain for _, gain in analysis.errors.tide.values()), default=0.0) or 1.0
    rows = [
        [name, str(count), {"share": max(gain, 0) / most, "text": f"{100 * gain:+.1f}"}]
        for name, (count, gain) in analysis.errors.tide.items()
    ]
    return {"title": "What AP50 would gain without each kind of error (TIDE)", "rows": rows, "header": _TIDE_HEADER}


_TIDE_HEADER = ["error", "how many", "AP50"]


def _confusion(analysis: Analysis, names: list[str]) -> dict[str, Any]:
    matrix = analysis.errors.confusion
    off = matrix.sum(0)[:-1] + matrix.sum(1)[:-1] - 2 * np.diag(matrix)[:-1]
    shown = sorted(np.argsort(-off, kind="stable")[:CONFUSED].tolist())
    rows = [[*shown, len(names)], [*names, BACKGROUND]]
    body = [[rows[1][i], *(str(matrix[i, j]) for j in rows[0])] for i in rows[0]]
    return {
        "title": f"Confusion at a score of {_number(analysis.overall.threshold)}: truth by row, seen by column",
        "header": ["", *(rows[1][j] for j in rows[0])],
        "rows": body,
    }


def _slices(analysis: Analysis) -> dict[str, Any]:
    rows = [[printable(name), str(count), _percent(ap)] for name, (count, ap) in analysis.slices.items()]
    return {"title": "Parts of the split", "header": ["images", "how many", "AP"], "rows": rows}


def _missed_note(analysis: Analysis) -> str:
    asked = sum(passage is not None for passage in analysis.traced.passages)
    return (
        f"{analysis.missed} of {counted(asked, 'object')} are missed at the thresholds above. Each is counted at the "
        "first stage that lost it."
    )


def _causes(analysis: Analysis) -> dict[str, Any]:
    rows = []
    for key, cause in CAUSES.items():
        count = analysis.count(key)
        if count:
            by_size = [str(analysis.count(key, size=size)) for size in SIZES]
            share = {"share": count / analysis.missed, "text": str(count)}
            rows.append([cause.text, share, *by_size, {"text": cause.remedy}])
    return {"title": "Causes", "header": ["cause", "objects", *SIZES, "what would keep them"], "rows": rows}


def _oracles(analysis: Analysis) -> dict[str, Any]:
    base = analysis.result.stats["AP"]
    most = max((ap - base for _, ap in analysis.oracles.values()), default=0.0) or 1.0
    rows = [
        [stage, str(count), {"share": max(ap - base, 0) / most, "text": f"{100 * (ap - base):+.1f}"}]
        for stage, (count, ap) in analysis.oracles.items()
    ]
    title = "What AP would gain if a stage lost nothing"
    return {"title": title, "header": ["stage", "objects it lost", "AP"], "rows": rows}


def _shown(picture: Picture, analysis: Analysis) -> dict[str, Any]:
    """The picture as the template has it; classes and errors as words for the filters."""
    label_of = {name: label for label, name in enumerate(analysis.index.class_names)}
    errors = [*picture.causes, *(["wrong"] if picture.wrong else [])]
    return {
        **vars(picture),
        "name": printable(picture.name),
        "classes": " ".join(str(label_of[name]) for name in picture.classes),
        "errors": " ".join(errors),
    }


def _suspects(analysis: Analysis, names: list[str], grey_bits: int) -> list[dict[str, Any]]:
    shown, index = [], analysis.index
    for suspect in analysis.suspects[:SUSPECTS_SHOWN]:
        image = read_image(index.path(suspect.row), grey_bits)
        jpeg, place = cutout(image, suspect.box)
        said = [names[label] for label in (suspect.label, suspect.seen_as) if label is not None]
        text = f"{TEXTS[suspect.kind]} ({', '.join(dict.fromkeys(said))}), {suspect.confidence:.2f}"
        place_percent = [f"{100 * share:.1f}" for share in place]
        name = printable(index.file_names[suspect.row].decode(errors="replace"))
        shown.append({"jpeg": jpeg, "place": place_percent, "text": text, "image": name})
    return shown


def terminal(analysis: Analysis, history: History | None) -> str:
    """The same in about twenty lines."""
    stats, best = analysis.result.stats, analysis.overall
    lines = [
        f"AP {_percent(stats['AP'])} {_bounds(analysis.intervals.get('AP'))}   AP50 {_percent(stats['AP50'])} "
        f"{_bounds(analysis.intervals.get('AP50'))}",
        f"best threshold {_number(best.threshold)}: {_operation(best)}",
        "",
        _missed_note(analysis),
    ]
    for key, cause in CAUSES.items():
        if analysis.count(key):
            lines.append(f"  {analysis.count(key):5}  {cause.text}")
    steps = next_steps(analysis, history)
    lines += ["", "next:", *(f"  {number}. {step}" for number, step in enumerate(steps, start=1))] if steps else []
    return "\n".join(printable(line) for line in lines)


def _operation(best: Operation) -> str:
    if best.threshold is None:
        return "nothing to find, or nothing found"
    return f"precision {_share(best.precision)}, recall {_share(best.recall)}, F1 {_number(best.f1)}"


def _percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _bounds(found: Interval | None) -> str:
    return "" if found is None else f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"
