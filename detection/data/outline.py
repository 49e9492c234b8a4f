"""The box around a polygon or a mask."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from detection.data.columns import FARTHEST

LONGEST_SIDE = 1 << 16
"""pixels of a mask's side"""


def extent(outline: Any) -> list[float] | None:
    """x, y, width, height of COCO's `segmentation`: a list of polygons [x1, y1, x2, y2, ...], or run lengths, as a list
    or as COCO's text; None where it is neither, or empty."""
    if isinstance(outline, dict):
        return _extent_of_runs(outline)
    if not isinstance(outline, list) or not all(isinstance(part, list) and len(part) % 2 == 0 for part in outline):
        return None
    values = list(chain.from_iterable(outline))
    if not values or not all(type(value) in (int, float) and abs(value) < FARTHEST for value in values):
        return None
    return around(values[0::2], values[1::2])


def around(xs: list[float], ys: list[float]) -> list[float]:
    """x, y, width, height of the box around points."""
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _extent_of_runs(outline: dict[str, Any]) -> list[float] | None:
    """The C code behind pycocotools trusts what it gets, so sizes and run lengths are checked first."""
    size, counts = outline.get("size"), outline.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(v) is int and 0 < v < LONGEST_SIDE for v in size)):
        return None
    from pycocotools import mask  # late, as few datasets have masks alone

    if isinstance(counts, list):
        if not all(type(v) is int and v >= 0 for v in counts) or sum(counts) != size[0] * size[1]:
            return None
        runs = mask.frPyObjects({"size": size, "counts": counts}, *size)
    elif isinstance(counts, str) and re.fullmatch("[0-o]*[0-O]", counts):
        runs = {"size": size, "counts": counts.encode()}
    else:
        return None
    box = [float(value) for value in mask.toBbox(runs)]
    return box if box[2] > 0 and box[3] > 0 else None
