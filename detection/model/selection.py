"""From a box and a score for every region and class to detections (Fast R-CNN, section 2.4).

boxes   (R, K or 1, 4) in pixels of the network's input
scores  (R, K), without background

What scores enough goes to the host in one copy, and all that follows happens there: a few hundred boxes are nothing
for it, and each of these steps would ask the device how many are left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detection.geometry.boxes import clip, larger_than, rescale
from detection.geometry.suppression import suppress
from detection.records import Detections, Size
from detection.transfer import on_host

CAPACITY = 8192
"""Candidates for which there is room in the first copy; if there are more, a second one fetches all."""


@dataclass(frozen=True)
class DetectionLimits:
    """What becomes a detection: score above `score`, suppression per class at IoU `nms`, `count` an image at most."""

    score: float = 0.05
    nms: float = 0.5
    count: int = 100


@dataclass(frozen=True)
class Candidates:
    """What may become detections: boxes (N, 4) float32, scores (N,), labels (N,) int64, in any order."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def take(self, rows: Tensor) -> Candidates:
        """Those of `rows`, indices or a mask."""
        return Candidates(self.boxes[rows], self.scores[rows], self.labels[rows])


def fetch(scores: Tensor, least: float, boxes: Callable[[Tensor, Tensor], Tensor]) -> tuple[Candidates, Tensor]:
    """Every pair of a region and a class that scores above `least`, regions in order, and the rows (N,) of their
    regions, on the host. boxes: gives those (M, 4) of rows (M,) and classes (M,)."""
    flat, classes, room = scores.flatten(), scores.shape[1], CAPACITY
    if flat.device.type == "cpu":  # nothing waits, and only what is chosen need be looked at
        pairs = (flat > least).nonzero().squeeze(1)
        row, label = pairs.div(classes, rounding_mode="floor"), pairs % classes
        return Candidates(boxes(row, label), flat[pairs], label), row
    while True:
        pairs, count = _first(flat > least, min(room, len(flat)))
        chosen = boxes(pairs.div(classes, rounding_mode="floor"), pairs % classes)
        box, score, pairs, number = on_host(chosen, flat[pairs], pairs, count)
        found = int(number)
        if found <= len(pairs):
            row, label = pairs[:found].div(classes, rounding_mode="floor"), pairs[:found] % classes
            return Candidates(box[:found], score[:found], label), row
        room = found


def _first(chosen: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Indices of the first `room` of what is `chosen` of (N,), behind them zeros, and how many are chosen in all:
    `nonzero` of a size that is known."""
    place = torch.where(chosen, chosen.cumsum(0) - 1, room).clamp(max=room)
    indices = torch.arange(len(chosen), device=chosen.device)
    return indices.new_zeros(room + 1).scatter_(0, place, indices)[:room], chosen.sum()


def candidates(boxes: Tensor, scores: Tensor, size: Size, least: float) -> Candidates:
    """Every pair of a region and a class that scores above `least`, its box cut at the edges of the image of `size`;
    boxes that are empty then, or not finite, are left out. On the host."""
    last = boxes.shape[1] - 1  # one column where classes share their boxes
    return within(fetch(scores, least, lambda row, label: boxes[row, label.clamp(max=last)])[0], size)


def within(found: Candidates, size: Size) -> Candidates:
    """The boxes cut at the edges of the image of `size`, without those that are empty then."""
    cut = Candidates(clip(found.boxes, size), found.scores, found.labels)
    return cut.take(larger_than(cut.boxes, 0.0))


def strongest(found: Candidates, nms: float, count: int) -> Candidates:
    """Best first, without those that a better one of their class overlaps by an IoU above `nms`, at most `count`."""
    return found.take(suppress(found.boxes, found.scores, found.labels, nms, count))


def to_detections(found: Candidates, size: Size, original: Size) -> Detections:
    """Candidates in an image of `size` as detections in pixels of its `original` size."""
    boxes = clip(rescale(found.boxes, size, original), original)
    return Detections(boxes, found.scores, found.labels, original)
