"""The charts of a report as PNG files, for slides and papers."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detection.printable import printable
from detection.report.analysis import Analysis
from detection.report.errors import BACKGROUND
from detection.report.history import History
from detection.report.missed import CAUSES
from detection.report.thresholds import curve

CLASSES = 8
"""Curves in a chart at most: those of the classes with the most objects."""
CELLS_WITH_NUMBERS = 15
"""Classes of a confusion matrix up to which its cells hold their numbers."""


def figures(analysis: Analysis, history: History | None) -> dict[str, bytes]:
    """Name of a file -> PNG. There is none of a training that left no metrics."""
    drawn = {
        "curves.png": _png(10, 3.6, lambda figure: _curves(figure, analysis)),
        "confusion.png": _png(6.5, 5.5, lambda figure: _confusion(figure, analysis)),
        "missed.png": _png(10, 4, lambda figure: _missed(figure, analysis)),
    }
    if history is not None:
        drawn["training.png"] = _png(10, 3.6, lambda figure: _training(figure, history))
    return drawn


def _png(width: float, height: float, draw: Callable[[Figure], None]) -> bytes:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _name(text: str) -> str:
    """A class's name as matplotlib shows it: $ begins no formula."""
    return printable(text).replace("$", r"\$")


def _curves(figure: Figure, analysis: Analysis) -> None:
    recall, f1, calibration = figure.subplots(1, 3)
    most = sorted(range(len(analysis.matches)), key=lambda label: -int(analysis.matches[label].objects.sum()))
    for label in most[:CLASSES]:
        found = curve([analysis.matches[label]])
        if len(found.scores):
            name = _name(analysis.index.class_names[label])
            recall.plot(found.recall, found.precision, label=name)
            f1.plot(found.scores, found.fbeta(), label=name)
    bins = np.array([(score, share) for score, share, _ in analysis.errors.calibration]).reshape(-1, 2)
    calibration.plot([0, 1], [0, 1], color="0.7")
    calibration.plot(bins[:, 0], bins[:, 1], marker="o")
    for axis, across, up in (
        (recall, "recall", "precision"),
        (f1, "threshold", "F1"),
        (calibration, "score", "share of right ones"),
    ):
        axis.set(xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1.02))
    if recall.lines:
        recall.legend(fontsize=8, frameon=False)


def _confusion(figure: Figure, analysis: Analysis) -> None:
    matrix, axis = analysis.errors.confusion, figure.subplots()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [*map(_name, analysis.index.class_names), BACKGROUND]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="seen as", ylabel="truth")
    if len(names) <= 2 * CELLS_WITH_NUMBERS:
        axis.set_xticks(range(len(names)), names, rotation=90)
        axis.set_yticks(range(len(names)), names)
    if len(names) <= CELLS_WITH_NUMBERS:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)


def _missed(figure: Figure, analysis: Analysis) -> None:
    causes, oracles = figure.subplots(1, 2)
    counts = {cause.text: analysis.count(key) for key, cause in CAUSES.items() if analysis.count(key)}
    causes.barh(list(counts), list(counts.values()), color="#0072b2")
    causes.set(xlabel="missed objects")
    base = analysis.result.stats["AP"]
    oracles.barh(list(analysis.oracles), [100 * (ap - base) for _, ap in analysis.oracles.values()], color="#009e73")
    oracles.set(xlabel="AP gained if it lost nothing")
    for axis in (causes, oracles):
        axis.invert_yaxis()


def _training(figure: Figure, history: History) -> None:
    losses, ap, rate = figure.subplots(1, 3)
    for name, points in (("training", history.training_loss), ("validation", history.validation_loss)):
        if points:
            losses.plot(*zip(*points), label=name)
    for axis, points, up in ((ap, history.ap, "AP"), (rate, history.rate, "learning rate")):
        if points:
            axis.plot(*zip(*points))
        axis.set(xlabel="iteration", ylabel=up)
    losses.set(xlabel="iteration", ylabel="loss")
    if losses.lines:
        losses.legend(frameon=False)
