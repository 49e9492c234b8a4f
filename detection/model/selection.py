"""From a box and a score for every region and class to detections (Fast R-CNN, section 2.4).

boxes   (R, K or 1, 4) in pixels of the network's input
scores  (R, K), without background
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from detection.geometry.boxes import clip, larger_than, rescale
from detection.geometry.suppression import suppress
from detection.records import Detections, Size


@dataclass(frozen=True)
class DetectionLimits:
    """What becomes a detection: score above `score`, suppression per class at IoU `nms`, `count` an image at most."""

    score: float = 0.05
    nms: float = 0.5
    count: int = 100


@dataclass(frozen=True)
class Candidates:
    """What may become detections of one image: boxes (N, 4) float32, scores (N,), labels (N,) int64, in any order."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def take(self, rows: Tensor) -> Candidates:
        """Those of `rows`, indices or a mask."""
        return Candidates(self.boxes[rows], self.scores[rows], self.labels[rows])


def candidates(boxes: Tensor, scores: Tensor, size: Size, least: float) -> Candidates:
    """Every pair of a region and a class that scores above `least`, its box cut at the edges of the image of `size`;
    boxes that are empty then, or not finite, are left out."""
    row, label = (scores > least).nonzero(as_tuple=True)
    column = label.clamp(max=boxes.shape[1] - 1)  # one column where classes share their boxes
    return within(Candidates(boxes[row, column], scores[row, label], label), size)


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
