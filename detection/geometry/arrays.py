"""Boxes as numpy arrays, where no network is: (..., 4) x1 y1 x2 y2, continuous edges, of any type of float."""

from __future__ import annotations

import numpy as np


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of (..., 4) and (..., 4) -> (...), elementwise after broadcasting; a[:, None] and b[None]
    give every pair. nan where both are empty."""
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    shared = sides[..., 0] * sides[..., 1]
    with np.errstate(invalid="ignore"):
        return np.asarray(shared / (_area(a) + _area(b) - shared))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))
