"""The worst images of a split as small pictures with their boxes, for the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from detection.data.image import read_image
from detection.report.analysis import Analysis
from detection.report.missed import CAUSES

SIDE, QUALITY = 420, 78
"""Longer side of a picture in pixels, and its quality as JPEG: about 20 kB each."""
SHOWN = 60
LOWEST = 0.2
"""Detections that score less are not drawn; the slider of the page begins here."""
MOST_BOXES = 150
"""Of an image; more cover it."""


@dataclass(frozen=True)
class Box:
    """kind: right, wrong, found or missed; place: x y width height in pixels of the image; score: None of the truth;
    classes: names that a filter looks for; text: for the pointer; cause: key of `CAUSES` of a missed one."""

    kind: str
    place: tuple[float, float, float, float]
    score: float | None
    name: str
    text: str
    cause: str | None = None


@dataclass(frozen=True)
class Picture:
    """jpeg: as a data URI; width, height: of the image; boxes: drawn over it."""

    name: str
    jpeg: str
    width: int
    height: int
    missed: int
    wrong: int
    boxes: list[Box]

    @property
    def classes(self) -> list[str]:
        return sorted({box.name for box in self.boxes if box.kind in ("wrong", "missed")})

    @property
    def causes(self) -> list[str]:
        return sorted({box.cause for box in self.boxes if box.cause})


def gallery(analysis: Analysis, grey_bits: int = 16, shown: int = SHOWN) -> list[Picture]:
    """The images with the most errors at the thresholds of the report, worst first; those without are left out."""
    index = analysis.index
    image_of = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    missed = np.bincount(image_of[[c is not None for c in analysis.causes]], minlength=len(index))
    row_of = {int(number): row for row, number in enumerate(index.image_ids)}
    owner = np.array([row_of[r["image_id"]] for r in analysis.traced.results], dtype=np.int64)
    bad = ~analysis.errors.right & ~analysis.errors.ignored
    wrong = np.bincount(owner[bad], minlength=len(index))
    worst = np.argsort(-(missed + wrong), kind="stable")[:shown]
    return [
        _picture(analysis, row, int(missed[row]), int(wrong[row]), np.flatnonzero(owner == row), grey_bits)
        for row in worst.tolist()
        if missed[row] + wrong[row]
    ]


def _picture(analysis: Analysis, row: int, missed: int, wrong: int, found: np.ndarray, grey_bits: int) -> Picture:
    index = analysis.index
    height, width = (int(side) for side in index.sizes[row])
    boxes = [*_truth(analysis, row), *_detections(analysis, found)][:MOST_BOXES]
    name = index.file_names[row].decode(errors="replace")
    return Picture(name, thumbnail(read_image(index.path(row), grey_bits)), width, height, missed, wrong, boxes)


def _truth(analysis: Analysis, row: int) -> list[Box]:
    index, drawn = analysis.index, []
    for annotation in range(index.offsets[row], index.offsets[row + 1]):
        cause, name = analysis.causes[annotation], index.class_names[index.labels[annotation]]
        if index.crowd[annotation] or index.difficult[annotation]:
            continue
        x, y, w, h = (round(float(v), 1) for v in index.xywh[annotation])
        text = f"{name}: found" if cause is None else f"{name}: missed, {CAUSES[cause].text}"
        drawn.append(Box("found" if cause is None else "missed", (x, y, w, h), None, name, text, cause))
    return sorted(drawn, key=lambda box: box.kind == "found")


def _detections(analysis: Analysis, found: np.ndarray) -> list[Box]:
    index, errors = analysis.index, analysis.errors
    name_of = {int(c): name for c, name in zip(index.category_ids, index.class_names)}
    text_of = {alarm.result: f": {alarm.text(index)}" for alarm in analysis.alarms}
    drawn = []
    for k in found.tolist():
        result: dict[str, Any] = analysis.traced.results[k]
        if result["score"] < LOWEST:
            continue
        name, right = name_of[result["category_id"]], bool(errors.right[k])
        x, y, w, h = (round(float(v), 1) for v in result["bbox"])
        text = f"{name} {result['score']:.2f}{text_of.get(k, '')}"
        drawn.append(Box("right" if right else "wrong", (x, y, w, h), result["score"], name, text))
    return drawn


def thumbnail(image: np.ndarray, side: int = SIDE) -> str:
    """The picture as a data URI of a small JPEG."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def cutout(
    image: np.ndarray, box: tuple[float, float, float, float], side: int = 120
) -> tuple[str, tuple[float, float, float, float]]:
    """A small picture of a box with as much around it, and where the box lies in it, as shares of its sides: left,
    top, width, height."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    margin = max(x2 - x1, y2 - y1) / 2 + 4
    left, top = max(int(x1 - margin), 0), max(int(y1 - margin), 0)
    right, bottom = min(int(x2 + margin) + 1, width), min(int(y2 + margin) + 1, height)
    across, down = max(right - left, 1), max(bottom - top, 1)
    place = ((x1 - left) / across, (y1 - top) / down, (x2 - x1) / across, (y2 - y1) / down)
    return thumbnail(np.ascontiguousarray(image[top : top + down, left : left + across]), side), place
