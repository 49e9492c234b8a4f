"""The tables of the page: a title, a header and rows of cells, each a text or a bar with its text."""

from __future__ import annotations

from typing import Any

import numpy as np

from detection.printable import printable
from detection.report.alarms import KINDS
from detection.report.analysis import Analysis
from detection.report.errors import BACKGROUND
from detection.report.missed import CAUSES
from detection.report.slices import SIZES
from detection.report.wording import number, percent, share

CONFUSED = 25
"""Classes of the confusion table at most: the most confused ones."""

Table = dict[str, Any]


def classes_table(analysis: Analysis, names: list[str]) -> Table:
    rows = []
    for label, (name, own) in enumerate(zip(names, analysis.by_class)):
        numbers = list(analysis.result.per_class.values())[_order(analysis)[label]]
        found = [percent(numbers["AP"]), percent(numbers["AP50"]), str(int(analysis.matches[label].objects.sum()))]
        rows.append([name, *found, number(own.threshold), share(own.precision), share(own.recall), number(own.f1)])
    header = ["class", "AP", "AP50", "objects", "threshold", "precision", "recall", "F1"]
    return {"title": "By class", "header": header, "rows": rows}


def _order(analysis: Analysis) -> list[int]:
    """Of each label the place among the classes of the result, which come by their ids."""
    return np.argsort(np.argsort(analysis.index.category_ids)).tolist()


def tide_table(analysis: Analysis) -> Table:
    most = max((gain for _, gain in analysis.errors.tide.values()), default=0.0) or 1.0
    rows = [
        [name, str(count), {"share": max(gain, 0) / most, "text": f"{100 * gain:+.1f}"}]
        for name, (count, gain) in analysis.errors.tide.items()
    ]
    return {"title": "What AP50 would gain without each kind of error (TIDE)", "rows": rows, "header": _TIDE_HEADER}


_TIDE_HEADER = ["error", "how many", "AP50"]


def confusion_table(analysis: Analysis, names: list[str]) -> Table:
    matrix = analysis.errors.confusion
    off = matrix.sum(0)[:-1] + matrix.sum(1)[:-1] - 2 * np.diag(matrix)[:-1]
    shown = sorted(np.argsort(-off, kind="stable")[:CONFUSED].tolist())
    rows = [[*shown, len(names)], [*names, BACKGROUND]]
    body = [[rows[1][i], *(str(matrix[i, j]) for j in rows[0])] for i in rows[0]]
    return {
        "title": f"Confusion at a score of {number(analysis.overall.threshold)}: truth by row, seen by column",
        "header": ["", *(rows[1][j] for j in rows[0])],
        "rows": body,
    }


def slices_table(analysis: Analysis) -> Table:
    rows = [[printable(name), str(count), percent(ap)] for name, (count, ap) in analysis.slices.items()]
    return {"title": "Parts of the split", "header": ["images", "how many", "AP"], "rows": rows}


def kinds_table(analysis: Analysis) -> Table:
    rows = [[kind, str(asked), share(found / asked)] for kind, (asked, found) in analysis.kinds.items()]
    return {"title": "Kinds of objects", "header": ["objects", "how many", "found"], "rows": rows}


def counts_table(analysis: Analysis, names: list[str]) -> Table:
    rows = [
        [name, str(int(own.truth.sum())), str(int(own.found.sum())), f"{own.bias:+.2f}", f"{own.mean_error:.2f}"]
        + [share(own.exact)]
        for name, own in zip(names, analysis.counts)
    ]
    header = ["class", "objects", "counted", "too many an image", "off by, an image", "images counted right"]
    return {"title": "Counting objects at the thresholds above", "header": header, "rows": rows}


def alarms_table(analysis: Analysis) -> Table:
    kinds = [alarm.kind for alarm in analysis.alarms]
    rows = [
        [text, {"share": kinds.count(kind) / len(kinds), "text": str(kinds.count(kind))}]
        for kind, text in KINDS.items()
        if kind in kinds
    ]
    return {"title": "False alarms at the thresholds above", "header": ["where they lie", "how many"], "rows": rows}


def causes_table(analysis: Analysis) -> Table:
    rows = []
    for key, cause in CAUSES.items():
        count = analysis.count(key)
        if count:
            by_size = [str(analysis.count(key, size=size)) for size in SIZES]
            bar = {"share": count / analysis.missed, "text": str(count)}
            rows.append([cause.text, bar, *by_size, {"text": cause.remedy}])
    return {"title": "Causes", "header": ["cause", "objects", *SIZES, "what would keep them"], "rows": rows}


def oracles_table(analysis: Analysis) -> Table:
    base = analysis.result.stats["AP"]
    most = max((ap - base for _, ap in analysis.oracles.values()), default=0.0) or 1.0
    rows = [
        [stage, str(count), {"share": max(ap - base, 0) / most, "text": f"{100 * (ap - base):+.1f}"}]
        for stage, (count, ap) in analysis.oracles.items()
    ]
    title = "What AP would gain if a stage lost nothing"
    return {"title": title, "header": ["stage", "objects it lost", "AP"], "rows": rows}
