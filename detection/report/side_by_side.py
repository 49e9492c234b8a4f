"""Two detectors on the same images: which objects one finds and the other misses, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from detection.data.image import read_image
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.bootstrap import coco_matches
from detection.evaluation.compare import Comparison
from detection.printable import printable
from detection.report.charts import bars
from detection.report.errors import errors_of
from detection.report.gallery import thumbnail
from detection.report.thresholds import best, curve

SHOWN = 24
"""Images with the most differences that are drawn."""


@dataclass(frozen=True)
class SideBySide:
    """names: of the two; found: (2, M) bool, by annotation of the index, at the threshold of each class with the best
    F1; asked: (M,) bool, objects that count."""

    index: AnnotationIndex
    names: tuple[str, str]
    found: np.ndarray
    asked: np.ndarray

    def counts(self, label: int | None = None) -> dict[str, int]:
        """How many objects both find, only one, neither; of all classes or of one."""
        rows = self.asked if label is None else self.asked & (self.index.labels == label)
        first, second = self.found[:, rows]
        return {
            "both": int((first & second).sum()),
            "only_first": int((first & ~second).sum()),
            "only_second": int((~first & second).sum()),
            "neither": int((~first & ~second).sum()),
        }

    def to_json(self) -> dict[str, Any]:
        """Counts, also by class, and the annotations that only one of the two finds, by their ids."""
        first, second = self.found & self.asked
        ids = self.index.annotation_ids
        return {
            "first": self.names[0],
            "second": self.names[1],
            **self.counts(),
            "by_class": {name: self.counts(label) for label, name in enumerate(self.index.class_names)},
            "found_by_first_only": ids[first & ~second].tolist(),
            "found_by_second_only": ids[second & ~first].tolist(),
        }


def side_by_side(
    index: AnnotationIndex, names: tuple[str, str], results: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> SideBySide:
    """results: of each, in COCO's format."""
    found = np.stack([_found(index, own) for own in results])
    return SideBySide(index, names, found, ~(index.crowd | index.difficult))


def _found(index: AnnotationIndex, results: list[dict[str, Any]]) -> np.ndarray:
    if not results:
        return np.zeros(len(index.labels), bool)
    best_of = {label: best(curve([own])).threshold for label, own in enumerate(coco_matches(index, results))}
    thresholds = {label: threshold for label, threshold in best_of.items() if threshold is not None}
    return errors_of(index, results, thresholds, 1.0).matched >= 0


def sections(pairs: Sequence[SideBySide]) -> list[Markup]:
    """Of each pair a part of a page: the counts, and the images with the most differences. Pictures are left out where
    the images are not there."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(autoescape=True, loader=folder, undefined=StrictUndefined)
    template = environment.get_template("side_by_side.html.jinja")
    return [Markup(template.render(**_content(pair))) for pair in pairs]


def charts_of(comparison: Comparison) -> list[Markup]:
    """AP of each row with its interval, a chart for each measure that has one."""
    return [
        bars(
            {
                row.name: (value, None if (own := row.intervals.get(name)) is None else (own.low, own.high))
                for row in comparison.rows
                if (value := row.values[name]) is not None
            },
            f"{name}, percent",
        )
        for name in comparison.sampled
    ]


def _content(pair: SideBySide) -> dict[str, Any]:
    names = [printable(name) for name in pair.index.class_names]
    header = ["class", "found by both", f"only by {pair.names[0]}", f"only by {pair.names[1]}", "by neither"]
    rows = [[name, *map(str, pair.counts(label).values())] for label, name in enumerate(names)]
    rows.append(["all", *map(str, pair.counts().values())])
    return {"names": pair.names, "header": header, "rows": rows, "pictures": _pictures(pair)}


def _pictures(pair: SideBySide) -> list[dict[str, Any]]:
    index, differs = pair.index, (pair.found[0] != pair.found[1]) & pair.asked
    image_of = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    counts = np.bincount(image_of[differs], minlength=len(index))
    shown = []
    for row in np.argsort(-counts, kind="stable")[:SHOWN].tolist():
        if not counts[row]:
            break
        try:
            picture = thumbnail(read_image(index.path(row)))
        except InputError:
            return []
        boxes: list[dict[str, Any]] = []
        for annotation in range(index.offsets[row], index.offsets[row + 1]):
            if pair.asked[annotation]:
                first, second = pair.found[:, annotation].tolist()
                kind = {(True, True): "both", (True, False): "first", (False, True): "second"}.get((first, second))
                place = [round(float(side), 1) for side in index.xywh[annotation]]
                boxes.append(
                    {"kind": kind or "neither", "place": place, "name": index.class_names[index.labels[annotation]]}
                )
        height, width = (int(side) for side in index.sizes[row])
        name = printable(index.file_names[row].decode(errors="replace"))
        shown.append({"jpeg": picture, "width": width, "height": height, "boxes": boxes, "name": name})
    return shown
