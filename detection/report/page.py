"""The report as one HTML file that asks no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detection.data.image import read_image
from detection.printable import printable
from detection.report.advice import next_steps
from detection.report.alarms import Confused
from detection.report.analysis import Analysis
from detection.report.charts import curves
from detection.report.errors import BACKGROUND
from detection.report.gallery import LOWEST, Picture, cutout, gallery
from detection.report.history import History
from detection.report.missed import CAUSES
from detection.report.page_tables import (
    alarms_table,
    causes_table,
    classes_table,
    confusion_table,
    counts_table,
    kinds_table,
    oracles_table,
    slices_table,
    tide_table,
)
from detection.report.suspects import TEXTS
from detection.report.thresholds import curve
from detection.report.wording import bounds, missed_note, number, operation, percent

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#777")
"""Told apart by the colour-blind (Okabe and Ito)."""

CURVES = 8
"""Classes with a curve of their own; the others share one."""
SUSPECTS_SHOWN = 60
CELLS = 40
"""Cells of the confusion matrix with examples at most: the fullest ones."""


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
        classes=classes_table(analysis, names),
        threshold_note=(
            "Thresholds are those with the best F1 on these very images, at an IoU of .5: a little optimistic. "
            "`frcnn threshold` keeps them in a checkpoint."
        ),
        training=_training(history),
        verdict=history.verdict if history else "",
        curves=_curves(analysis, names),
        tide=tide_table(analysis),
        confusion=confusion_table(analysis, names),
        examples=_examples(analysis, names, subject.grey_bits),
        slices=slices_table(analysis),
        kinds=kinds_table(analysis),
        counts=counts_table(analysis, names),
        alarms=alarms_table(analysis),
        missed_note=missed_note(analysis),
        causes=causes_table(analysis),
        oracles=oracles_table(analysis),
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
        {"name": name, "value": percent(stats[name]), "note": bounds(analysis.intervals.get(name))}
        for name in ("AP", "AP50")
    ]
    cards += [{"name": f"AP, {size}", "value": percent(stats[key]), "note": ""} for size, key in _SIZE_KEYS.items()]
    cards.append({"name": "best threshold", "value": number(best.threshold), "note": operation(best)})
    return cards


_SIZE_KEYS = {"small": "APs", "medium": "APm", "large": "APl"}


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


def _examples(analysis: Analysis, names: list[str], grey_bits: int) -> list[dict[str, Any]]:
    """Cells off the diagonal, the fullest first, each with a few cutouts."""
    matrix, index, words = analysis.errors.confusion, analysis.index, [*names, BACKGROUND]
    cells: dict[tuple[int, int], list[Confused]] = {}
    for own in analysis.confused:
        cells.setdefault((own.truth, own.seen), []).append(own)
    shown = []
    for truth, seen in sorted(cells, key=lambda cell: -matrix[cell])[:CELLS]:
        cutouts = []
        for own in cells[truth, seen]:
            x, y, width, height = own.box
            jpeg, place = cutout(read_image(index.path(own.row), grey_bits), (x, y, x + width, y + height), 96)
            cutouts.append({"jpeg": jpeg, "place": [f"{100 * share:.1f}" for share in place]})
        said = "missed" if seen == len(names) else f"seen as {words[seen]}"
        shown.append({"text": f"{words[truth]} {said}: {matrix[truth, seen]}", "cutouts": cutouts})
    return shown


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
