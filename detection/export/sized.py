"""The whole detector where the sizes of all tensors are numbers when its graph is made.

Nothing in it chooses rows: a pyramid's level pools every region, those of other levels as an empty box, and what is
not a detection is a place without one. So every tensor has a shape that is known beforehand, but for the list that a
suppression gives.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from detection.data.image import resize_size
from detection.export.resizing import resize
from detection.export.whole import WholeDetector, clipped
from detection.predict.detector import Detector

PADDED_OUTPUTS = ("boxes", "scores", "labels", "count")


class SizedDetector(WholeDetector):
    """What has no tensors for sizes."""

    def _sides(self, x: Tensor) -> tuple[Any, Any]:
        return x.shape[2], x.shape[3]

    def _from_levels(self, maps: list[Tensor], boxes: Tensor, image: Tensor, level: Tensor) -> Tensor:
        total = None
        for k, x in enumerate(maps):
            own = (level == k)[:, None]
            regions = torch.where(own, boxes, 0.0)  # an empty box is pooled at almost no cost
            part = torch.where(own[..., None, None], self._from_level(k, x, regions, image), 0.0)
            total = part if total is None else total + part
        assert total is not None, "a detector has maps"
        return total


class FixedDetector(SizedDetector):
    """One image of one size.

    images      (1, H, W, 3) or (1, 3, H, W) uint8 RGB
    boxes       (D, 4), scores (D,) float32, labels (D,) int64, best first, D the most detections that an image may
                have; from place `count` (1,) int64 on there is none: zeros, and label -1
    size: (H, W) in pixels.
    """

    def __init__(self, detector: Detector, size: tuple[int, int], nchw: bool = False, half: bool = False) -> None:
        super().__init__(detector, nchw, half)
        self.original = size
        self.resized = resize_size(size, detector.short_side, detector.long_side)

    def _canvas(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        size = torch.tensor(self.resized)
        x = planes.float() if self.resized == self.original else resize(planes, size)
        below, right = (-side % self.trunk.size_multiple for side in self.resized)
        return F.pad(self._normalised(x), (0, right, 0, below)), size, torch.tensor(self.original)

    def _strongest(self, scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
        return scores.topk(min(most, int(scores.shape[1])), dim=1)

    def _listed(
        self, found: Tensor, best: Tensor, labels: Tensor, thresholds: Tensor, scale: Tensor, edges: Tensor
    ) -> tuple[Tensor, ...]:
        counted = best[0] > thresholds[labels[0]]
        scores, rows = torch.where(counted, best[0], -1.0).topk(int(best.shape[1]))  # those that count come first
        there = scores > -1.0
        boxes = clipped(found[0][rows] * scale, edges)
        return (
            torch.where(there[:, None], boxes, 0.0),
            torch.where(there, scores, 0.0),
            torch.where(there, labels[0][rows], -1),
            there.sum(0, keepdim=True),
        )
