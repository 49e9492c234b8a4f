"""What detections and objects are taken for: the pairs behind the confusion matrix, and what a false alarm lies on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.geometry.arrays import iou

ON_IT, TOUCHES = 0.5, 0.1
"""IoU from which a box is on an object, and below which it does not touch it (Bolya et al. 2020)."""
NEIGHBOURS = 3

KINDS = {
    "twice": "a second detection of an object that is found",
    "class": "on an object of another class",
    "box": "beside an object of its class",
    "both": "beside an object of another class",
    "background": "on nothing that is annotated",
}


@dataclass(frozen=True)
class Confused:
    """A cell's example. truth, seen: labels, the number of classes for background; row: of the image; box: x y w h."""

    truth: int
    seen: int
    row: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Alarm:
    """A false alarm. result: its number; kind: key of `KINDS`; overlaps: row of the annotation that it overlaps most,
    None where it touches none, and their IoU; neighbours: (annotation, pixels between the centres) of the objects of
    its own class that are nearest in the image."""

    result: int
    kind: str
    overlaps: int | None
    iou: float
    neighbours: list[tuple[int, float]]

    def text(self, index: AnnotationIndex) -> str:
        """What it lies on, in words."""
        if self.overlaps is None:
            where = KINDS[self.kind]
        else:
            where = f"{KINDS[self.kind]} ({index.class_names[index.labels[self.overlaps]]}, IoU {self.iou:.2f})"
        if not self.neighbours:
            return f"{where}; no other of its class in the image"
        return f"{where}; the nearest of its class is {self.neighbours[0][1]:.0f} pixels away"


def false_alarms(index: AnnotationIndex, results: list[dict[str, Any]], wrong: np.ndarray) -> list[Alarm]:
    """wrong: (D,) bool, the results that are reported and match nothing."""
    found = []
    for row, numbers in _by_image(index, results):
        own = [k for k in numbers if wrong[k]]
        if not own:
            continue
        rows = np.arange(index.offsets[row], index.offsets[row + 1])
        rows = rows[~(index.crowd | index.difficult)[rows]]
        found += [_alarm(index, results[k], k, rows) for k in own]
    return sorted(found, key=lambda alarm: -results[alarm.result]["score"])


def _alarm(index: AnnotationIndex, result: dict[str, Any], number: int, rows: np.ndarray) -> Alarm:
    label = _label_of(index)[result["category_id"]]
    box, truth = np.asarray(result["bbox"], np.float64), index.xywh[rows].astype(np.float64)
    overlap = iou(_corners(box[None]), _corners(truth)) if len(rows) else np.zeros(0)
    same = index.labels[rows] == label
    apart = np.hypot(*((truth[:, :2] + truth[:, 2:] / 2) - (box[:2] + box[2:] / 2)).T) if len(rows) else overlap
    near = [k for k in np.argsort(apart, kind="stable").tolist() if same[k]][:NEIGHBOURS]
    neighbours = [(int(rows[k]), round(float(apart[k]), 1)) for k in near]
    kind, best = _kind(overlap, same)
    return Alarm(
        number,
        kind,
        None if best is None else int(rows[best]),
        0.0 if best is None else float(overlap[best]),
        neighbours,
    )


def _kind(overlap: np.ndarray, same: np.ndarray) -> tuple[str, int | None]:
    """The nearest fault that would make it right, and the object in question."""
    for kind, fits in (
        ("twice", same & (overlap >= ON_IT)),
        ("class", ~same & (overlap >= ON_IT)),
        ("box", same & (overlap >= TOUCHES)),
        ("both", ~same & (overlap >= TOUCHES)),
    ):
        if fits.any():
            return kind, int(np.argmax(np.where(fits, overlap, -1)))
    return "background", None


def confused(index: AnnotationIndex, results: list[dict[str, Any]], lowest: float, each: int) -> list[Confused]:
    """Up to `each` examples of every cell off the diagonal of the confusion matrix, the surest first, matched as
    hotcoco does: by score, each detection with the free object of any class that it overlaps most, from an IoU of .5
    on. lowest: score from which detections count."""
    examples: dict[tuple[int, int], list[tuple[float, Confused]]] = {}
    for score, pair in _pairs(index, results, lowest):
        if pair.truth != pair.seen:
            examples.setdefault((pair.truth, pair.seen), []).append((score, pair))
    return [pair for cell in sorted(examples) for _, pair in sorted(examples[cell], key=lambda own: -own[0])[:each]]


def _pairs(index: AnnotationIndex, results: list[dict[str, Any]], lowest: float) -> Iterator[tuple[float, Confused]]:
    """Every cell's entry with the score of its detection, 0 where there is none."""
    label_of, background = _label_of(index), len(index.class_names)
    numbers_of = dict(_by_image(index, results))
    for row in range(len(index)):
        rows = np.arange(index.offsets[row], index.offsets[row + 1])
        asked = ~(index.crowd | index.difficult)[rows]
        free = np.ones(len(rows), bool)
        counted = [k for k in numbers_of.get(row, []) if results[k]["score"] >= lowest]
        for k in sorted(counted, key=lambda k: -results[k]["score"]):
            box = np.asarray(results[k]["bbox"], np.float64)
            overlap = iou(_corners(box[None]), _corners(index.xywh[rows].astype(np.float64))) if len(rows) else free
            fits = free & asked & (overlap >= ON_IT)
            x, y, w, h = (float(side) for side in box)
            seen = label_of[results[k]["category_id"]]
            if fits.any():
                best = int(np.argmax(np.where(fits, overlap, -1)))
                free[best] = False
                yield results[k]["score"], Confused(int(index.labels[rows[best]]), seen, row, (x, y, w, h))
            else:
                yield results[k]["score"], Confused(background, seen, row, (x, y, w, h))
        for missed in rows[free & asked]:
            x, y, w, h = (float(side) for side in index.xywh[missed])
            yield 0.0, Confused(int(index.labels[missed]), background, row, (x, y, w, h))


def _by_image(index: AnnotationIndex, results: list[dict[str, Any]]) -> list[tuple[int, list[int]]]:
    """Row of an image -> numbers of its results."""
    row_of = {int(number): row for row, number in enumerate(index.image_ids)}
    numbers: dict[int, list[int]] = {}
    for k, result in enumerate(results):
        numbers.setdefault(row_of[result["image_id"]], []).append(k)
    return sorted(numbers.items())


def _label_of(index: AnnotationIndex) -> dict[int, int]:
    return {int(category): label for label, category in enumerate(index.category_ids)}


def _corners(xywh: np.ndarray) -> np.ndarray:
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
