"""How well anchors meet the boxes of a dataset, and which would meet them better.

A box counts as met where some anchor that the network has overlaps it enough: of its shape, on the grid of its level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detection.data.check import box_flaws
from detection.data.index import AnnotationIndex
from detection.geometry.anchors import cell_anchors

THRESHOLDS = (0.5, 0.7)
"""IoU; from .7 an anchor is an example of an object to the RPN"""
DOUBLED = (8.0, 12.0, 16.0, 24.0, 32.0)
"""pixels of the smallest anchor"""
MOST_BOXES = 50_000
"""a sample is enough for three digits"""


@dataclass(frozen=True)
class Anchors:
    """Settings as a config has them. sizes: per level, in pixels; strides: of the levels; short_side, long_side: of the
    network's input."""

    sizes: list[list[float]]
    ratios: list[float]
    strides: list[int]
    short_side: int
    long_side: int


def input_scale(index: AnnotationIndex, short_side: int, long_side: int) -> np.ndarray:
    """(N,) pixels of the network's input to one of each image."""
    low, high = index.sizes.min(axis=1), index.sizes.max(axis=1)
    return np.asarray(np.minimum(short_side / low, long_side / high))


def scaled_boxes(index: AnnotationIndex, short_side: int, long_side: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) x1 y1 x2 y2 and (n, 2) width, height of their images, in pixels of the input; a sample of sound boxes."""
    empty, _, outside = box_flaws(index)
    rows = np.flatnonzero(~(empty | outside | index.crowd | index.difficult))
    if len(rows) > MOST_BOXES:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_BOXES, replace=False))
    image = np.searchsorted(index.offsets, rows, side="right") - 1
    scale = input_scale(index, short_side, long_side)[image, None]
    frame = index.sizes[image][:, ::-1] * scale
    low, high = index.xywh[rows, :2] * scale, (index.xywh[rows, :2] + index.xywh[rows, 2:]) * scale
    return np.concatenate([np.clip(low, 0, frame), np.clip(high, 0, frame)], axis=1), frame


def best_overlap(boxes: np.ndarray, frames: np.ndarray, anchors: Anchors) -> np.ndarray:
    """(n,) the largest IoU that each box has with any anchor.

    Of an anchor's shape the one whose centre is nearest overlaps most, since anchors are symmetric about it: so one
    place for each shape is looked at, rather than the 200,000 anchors of an image.
    """
    best = np.zeros(len(boxes))
    centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for sizes, stride in zip(anchors.sizes, anchors.strides, strict=True):
        cells = np.ceil(frames / stride)
        nearest = np.clip(np.round(centre / stride), 0, cells - 1) * stride
        shapes = cell_anchors(sizes, anchors.ratios).numpy().astype(np.float64)
        for width, height in (shapes[:, 2:] - shapes[:, :2]).tolist():
            half = np.array([width, height]) / 2
            shared = np.minimum(boxes[:, 2:], nearest + half) - np.maximum(boxes[:, :2], nearest - half)
            area = np.maximum(shared, 0).prod(axis=1)
            best = np.maximum(best, area / (side.prod(axis=1) + width * height - area))
    return best


def recall(index: AnnotationIndex, anchors: Anchors) -> dict[float, float]:
    """Share of boxes that some anchor overlaps by each of THRESHOLDS; nan without boxes."""
    boxes, frames = scaled_boxes(index, anchors.short_side, anchors.long_side)
    best = best_overlap(boxes, frames, anchors)
    return {threshold: float((best >= threshold).mean()) if len(best) else float("nan") for threshold in THRESHOLDS}


def best_fit(index: AnnotationIndex, start: Anchors) -> Anchors:
    """Of k-means and of sizes that double from level to level, those that meet most boxes."""
    doubling = [replace(start, sizes=[[base * 2.0**i] for i in range(len(start.sizes))]) for base in DOUBLED]
    return max([start, fitted(index, start), *doubling], key=lambda anchors: sum(recall(index, anchors).values()))


def fitted(index: AnnotationIndex, start: Anchors) -> Anchors:
    """Anchors of as many levels and ratios as `start`, for the same input: k-means of the logarithms of the boxes'
    sides and, apart from it, of their ratios, as the config has one list of ratios for all sizes."""
    boxes, _ = scaled_boxes(index, start.short_side, start.long_side)
    side = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    if len(side) < 2:
        return start
    sizes = _means(np.log(side.prod(axis=1)) / 2, len(start.sizes))
    ratios = _means(np.log(side[:, 1] / side[:, 0]), len(start.ratios))
    return Anchors(
        [[float(round(size))] for size in np.exp(sizes)],
        [round(float(ratio), 2) for ratio in np.exp(ratios)],
        start.strides,
        start.short_side,
        start.long_side,
    )


def _means(values: np.ndarray, count: int) -> np.ndarray:
    """(count,) centres of the clusters of `values` (n,), ascending, from quantiles to start with."""
    centres = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(100):
        nearest = np.abs(values[:, None] - centres).argmin(axis=1)
        # An empty cluster, where many values are equal, stays where it is.
        new = np.array([values[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(count)])
        if np.allclose(new, centres, atol=1e-6):
            break
        centres = new
    return np.sort(centres)
