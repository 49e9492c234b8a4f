"""Boxes that say the same twice, or stand out from others of their class."""

from __future__ import annotations

import numpy as np

from detection.data.check import box_flaws
from detection.data.index import AnnotationIndex
from detection.doctor.findings import Item, box_item
from detection.geometry.arrays import iou

SAME_BOX = 0.9
"""IoU from which two boxes are taken for one object"""
TINY = 4.0
"""pixels of the network's input, of the shorter side"""
WHOLE = 0.99
"""share of the image"""
EDGE = 2.0
"""pixels from the edge of the image at which a box is taken for cut off"""
ODD = 6.0
"""robust deviations from the median of the class, in the logarithm; of a normal distribution 1 in 500 million"""
LEAST = 30
"""objects that a class needs before any is called odd"""
MOST_NEIGHBOURS = 500
"""boxes that one is compared with, at most; only damaged files hold more on one spot"""


def overlaps(index: AnnotationIndex, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of annotations of one image with an IoU of `least` or more: rows (P,), rows (P,) above them, IoU (P,).

    Crowds and empty boxes are in no pair. Boxes are sorted by their left edge: two can only overlap that much where
    the edges are within (1 - least) of the first one's width, so each is compared with a few that follow it.
    """
    empty, _, _ = box_flaws(index)
    image = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    rows = np.flatnonzero(~empty & ~index.crowd)
    rows = rows[np.lexsort((index.xywh[rows, 0], image[rows]))]
    boxes = np.concatenate([index.xywh[rows, :2], index.xywh[rows, :2] + index.xywh[rows, 2:]], axis=1)
    left, width = index.xywh[rows, 0], index.xywh[rows, 2]
    image = image[rows]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    first = np.arange(len(rows))
    for step in range(1, MOST_NEIGHBOURS):
        first = first[first + step < len(rows)]
        second = first + step
        near = (image[first] == image[second]) & (left[second] - left[first] <= (1 - least) * width[first] + 1e-9)
        first, second = first[near], second[near]
        if not len(first):
            break
        overlap = iou(boxes[first], boxes[second])
        keep = overlap >= least
        found.append((rows[first[keep]], rows[second[keep]], overlap[keep]))
    a, b, overlap = (
        np.concatenate([np.array([], dtype=kind), *part]) for kind, part in zip((int, int, float), _columns(found))
    )
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((low, high))
    return low[order], high[order], overlap[order]


def _columns(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[list[np.ndarray]]:
    return [[part[k] for part in found] for k in range(3)]


def duplicate_boxes(split: str, index: AnnotationIndex) -> list[tuple[str, Item]]:
    """Boxes that repeat an earlier one, and pairs of different classes on one object."""
    found: list[tuple[str, Item]] = []
    dropped: set[int] = set()
    for first, second, overlap in zip(*(column.tolist() for column in overlaps(index, SAME_BOX)), strict=True):
        other = (
            f"annotation {index.annotation_ids[first]} ({index.class_names[index.labels[first]]}), IoU {overlap:.2f}"
        )
        if index.labels[first] != index.labels[second]:
            found.append(("double class", box_item(split, index, second, f"lies on {other}", first)))
        elif first not in dropped and second not in dropped:
            dropped.add(second)
            found.append(("duplicate box", box_item(split, index, second, f"repeats {other}", first)))
    return found


def unusual_boxes(split: str, index: AnnotationIndex, scale: np.ndarray) -> list[tuple[str, Item]]:
    """Tiny ones, those of the whole image, and those unlike others of their class. scale: (N,) of each image, pixels
    of the network's input to one of the image."""
    empty, beyond, _ = box_flaws(index)
    judged = ~empty & ~beyond & ~index.crowd
    image = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    sides = np.maximum(index.xywh[:, 2:], 1e-9)
    share = (sides / index.sizes[image][:, ::-1]).prod(axis=1)
    found = []
    shorter = sides.min(axis=1) * scale[image]
    for row in np.flatnonzero(judged & (shorter < TINY)).tolist():
        found.append(("tiny box", box_item(split, index, row, f"is {shorter[row]:.1f} pixels for the network")))
    for row in np.flatnonzero(judged & (share >= WHOLE)).tolist():
        found.append(("whole image", box_item(split, index, row, f"covers {100 * share[row]:.0f} % of it")))
    size, shape = 0.5 * np.log(share), np.log(sides[:, 0] / sides[:, 1])
    # What the edge cuts off is small and flat for that reason alone.
    frame = index.sizes[image][:, ::-1]
    cut = ((index.xywh[:, :2] <= EDGE) | (index.xywh[:, :2] + index.xywh[:, 2:] >= frame - EDGE)).any(axis=1)
    for rule, values, words, whole in (
        ("odd size", size, "{:.2g} times the side usual for its class", judged),
        ("odd shape", shape, "{:.2g} times the width to height usual for its class", ~cut),
    ):
        away, far = _oddness(values, index.labels, judged & whole)
        if rule == "odd size":
            far[cut & (away < 0)] = 0
        # The strangest first: these are the ones that are drawn.
        for row in sorted(np.flatnonzero(far > ODD).tolist(), key=lambda row: -far[row]):
            found.append((rule, box_item(split, index, row, "has " + words.format(np.exp(away[row])))))
    return found


def _oddness(values: np.ndarray, labels: np.ndarray, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) distance from the median of the class, (M,) the same in robust deviations; 0 for those not judged."""
    away, far = np.zeros(len(values)), np.zeros(len(values))
    for label in np.unique(labels[judged]):
        rows = np.flatnonzero(judged & (labels == label))
        if len(rows) >= LEAST:
            away[rows] = values[rows] - np.median(values[rows])
            # 1.4826 makes it the standard deviation of a normal distribution; classes of one size need a floor.
            far[rows] = np.abs(away[rows]) / max(1.4826 * np.median(np.abs(away[rows])), 0.1)
    return away, far
