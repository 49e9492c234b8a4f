"""How well anchors meet the boxes of a dataset, and which meet them better.

A box counts as met where some anchor that the network has overlaps it enough: of its shape, on the grid of its level.
`frcnn train` chooses by it and `frcnn check-data` prints the same choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detection.data.check import box_flaws
from detection.data.index import AnnotationIndex
from detection.geometry.anchors import cell_anchors
from detection.geometry.arrays import iou
from detection.model.build import PYRAMID_SIZES, SINGLE_MAP_SIZES

THRESHOLDS = (0.5, 0.7)
"""IoU; from .7 an anchor is an example of an object to the RPN"""
USUAL_RATIOS = [0.5, 1.0, 2.0]
PYRAMID_STRIDES, SINGLE_MAP_STRIDES = [4, 8, 16, 32, 64], [16]
MOST_BOXES = 50_000
"""a sample is enough for three digits"""
SEARCHED = 10_000
"""boxes that the search looks at; its result is judged by all"""
SIZES = np.unique(np.round(8.0 * 2 ** (np.arange(50) / 8)))
"""pixels that are searched: eighths of octaves from 8 to 558"""
DOUBLED = (8.0, 12.0, 16.0, 24.0, 32.0, 48.0)
"""pixels of the smallest anchor, where the search begins"""
GAIN = 0.01
"""Of both shares together; less is no reason to leave what is usual."""


@dataclass(frozen=True)
class Anchors:
    """Settings as a config has them. sizes: per level, in pixels; strides: of the levels; short_side, long_side: of the
    network's input; offset, rounded, classic: see `AnchorGenerator`."""

    sizes: list[list[float]]
    ratios: list[float]
    strides: list[int]
    short_side: int
    long_side: int
    offset: float = 0.0
    rounded: bool = False
    classic: bool = False


def usual_anchors(architecture: str, short_side: int, long_side: int) -> Anchors:
    """A config's defaults for an architecture of the schema."""
    pyramid = architecture == "fpn"
    sizes, strides = (PYRAMID_SIZES, PYRAMID_STRIDES) if pyramid else (SINGLE_MAP_SIZES, SINGLE_MAP_STRIDES)
    return Anchors(sizes, USUAL_RATIOS, strides, short_side, long_side)


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
    """(n,) the largest IoU that each box has with any anchor."""
    best = np.zeros(len(boxes))
    for level, sizes in enumerate(anchors.sizes):
        for size in sizes:
            best = np.maximum(best, _overlap(boxes, frames, anchors, level, size))
    return best


def _overlap(boxes: np.ndarray, frames: np.ndarray, anchors: Anchors, level: int, size: float) -> np.ndarray:
    """(n,) the largest IoU that each box has with anchors of one size on one level.

    Of an anchor's shape the one whose centre is nearest overlaps most, since anchors are symmetric about it: so one
    place for each shape is looked at, rather than the 200,000 anchors of an image.
    """
    stride, offset = anchors.strides[level], anchors.offset
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    cells = np.ceil(frames / stride)
    nearest = (np.clip(np.round(centre / stride - offset), 0, cells - 1) + offset) * stride
    shapes = cell_anchors([size], anchors.ratios, anchors.rounded, anchors.classic).numpy().astype(np.float64)
    best = np.zeros(len(boxes))
    for width, height in (shapes[:, 2:] - shapes[:, :2]).tolist():
        half = np.array([width, height]) / 2
        best = np.maximum(best, iou(boxes, np.concatenate([nearest - half, nearest + half], axis=1)))
    return best


def recall(index: AnnotationIndex, anchors: Anchors) -> dict[float, float]:
    """Share of boxes that some anchor overlaps by each of THRESHOLDS; nan without boxes."""
    boxes, frames = scaled_boxes(index, anchors.short_side, anchors.long_side)
    return _met(best_overlap(boxes, frames, anchors))


def _met(best: np.ndarray) -> dict[float, float]:
    return {threshold: float((best >= threshold).mean()) if len(best) else float("nan") for threshold in THRESHOLDS}


def best_fit(index: AnnotationIndex, usual: Anchors, keep_ratios: bool = False) -> Anchors:
    """Anchors of as many sizes and ratios as `usual` that meet no fewer boxes than it at any threshold, and most in
    sum. Sizes that gain under GAIN are not worth leaving it, nor are ratios. keep_ratios: they are not fitted."""
    boxes, frames = scaled_boxes(index, usual.short_side, usual.long_side)
    if not len(boxes):
        return usual
    fitted = [] if keep_ratios else [_fitted_ratios(boxes, len(usual.ratios))]
    some = np.sort(np.random.default_rng(0).permutation(len(boxes))[:SEARCHED])
    least = _met(best_overlap(boxes, frames, usual))
    best, most = usual, sum(least.values())
    for ratios in (usual.ratios, *fitted):
        judged = [
            (sum(met.values()), anchors)
            for anchors in _searched(boxes[some], frames[some], replace(usual, ratios=ratios), least)
            if all((met := _met(best_overlap(boxes, frames, anchors)))[t] >= least[t] for t in THRESHOLDS)
        ]
        total, anchors = max(judged, key=lambda pair: pair[0], default=(0.0, usual))
        if total > most + GAIN:
            best, most = anchors, total
    return best


def _searched(boxes: np.ndarray, frames: np.ndarray, start: Anchors, least: dict[float, float]) -> list[Anchors]:
    """Anchors with the ratios of `start`: its sizes, such that double from one to the next, and k-means of the boxes'
    sides, each changed one at a time as long as that meets more boxes."""
    places = [(level, k) for level, sizes in enumerate(start.sizes) for k in range(len(sizes))]
    tables = [
        np.stack([_overlap(boxes, frames, start, level, size) for size in SIZES]) for level in range(len(start.sizes))
    ]  # per level (sizes, n)
    given = [size for sizes in start.sizes for size in sizes]
    doubled = [[base * 2.0**i for i in range(len(given))] for base in DOUBLED]
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    means = np.exp(_means(np.log(sides.prod(axis=1)) / 2, len(given)))
    found = []
    for sizes in [given, *doubled, means.tolist()]:
        first = [int(np.abs(np.log(SIZES / size)).argmin()) for size in sizes]
        chosen = _climb([tables[level] for level, _ in places], first, least)
        levels: list[list[float]] = [[] for _ in start.sizes]
        for (level, _), row in zip(places, chosen, strict=True):
            levels[level].append(float(SIZES[row]))
        found.append(replace(start, sizes=[sorted(level) for level in levels]))
    return found


def _climb(tables: list[np.ndarray], chosen: list[int], least: dict[float, float]) -> list[int]:
    """Rows of `tables`, each (sizes, n) overlaps, from the rows `chosen` on: the best of each in turn until none is
    better, ascending from level to level. Nothing makes up for falling behind `least`."""
    chosen, now = list(chosen), -np.inf
    wanted = np.array([least[t] for t in THRESHOLDS])
    while True:
        before = now
        for place, table in enumerate(tables):
            low = chosen[place - 1] if place else 0
            high = chosen[place + 1] if place + 1 < len(chosen) else len(table) - 1
            others = [t[chosen[i]] for i, t in enumerate(tables) if i != place]
            best = np.maximum(table[low : high + 1], np.maximum.reduce([np.zeros(table.shape[1]), *others]))
            met = np.stack([(best >= t).mean(axis=1) for t in THRESHOLDS], -1)  # (sizes, thresholds)
            scores = met.sum(-1) - 1000 * np.maximum(wanted - met, 0).sum(-1)
            if scores.max() > now + 1e-9:
                chosen[place], now = low + int(scores.argmax()), float(scores.max())
        if now <= before:
            return chosen


def _fitted_ratios(boxes: np.ndarray, count: int) -> list[float]:
    side = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    return [round(float(ratio), 2) for ratio in np.exp(_means(np.log(side[:, 1] / side[:, 0]), count))]


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
