"""The whole detector as `torch.export` takes it: of images of any size, in torch's and torchvision's own operators."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from detection.export.operators import RegionFeatures
from detection.export.sized import SizedDetector
from detection.predict.detector import Detector

ALONE = [[0.0, 0.0, 0.25, 0.25], [0.5, 0.5, 0.75, 0.75]]
"""Boxes that overlap nothing."""


class TorchDetector(SizedDetector):
    """See `WholeDetector` for what goes in and comes out."""

    def __init__(self, detector: Detector, nchw: bool = False) -> None:
        super().__init__(detector, nchw)
        # Of a map whose sides are unknown, torch takes for granted that it lies in planes; where a channels-last filter
        # made it lie otherwise, the compiler reads it in the wrong order.
        for module in self.modules():
            for name, held in module._buffers.items():
                module._buffers[name] = None if held is None else held.contiguous()
            for own in module.parameters(recurse=False):
                own.data = own.data.contiguous()

    def _canvas(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        original = torch.cat([torch.full((1,), side, dtype=torch.int64) for side in planes.shape[2:]])
        size = self._size(original)
        height, width = size.tolist()
        for side in (height, width):
            torch._check(side >= 1)
        x = F.interpolate(planes.contiguous(), size=(height, width), mode="bilinear", antialias=True)
        multiple = self.trunk.size_multiple
        below, right = ((side + multiple - 1) // multiple * multiple - side for side in (height, width))
        return F.pad(self._normalised(x.float()), (0, right, 0, below)), size, original

    def _strongest(self, scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
        # As many places always: whether there are enough would be a question for each size.
        none = scores.new_full((scores.shape[0], most), -torch.inf)
        values, rows = torch.cat([scores, none], 1).topk(most, dim=1)
        return values, rows.clamp(max=scores.shape[1] - 1)

    def _survivors(self, boxes: Tensor, scores: Tensor, threshold: float, least: float, most: int) -> Tensor:
        groups, places = scores.shape[0], scores.shape[2]
        group, run, row = (scores > least).nonzero(as_tuple=True)
        # Moved apart by run, in float64. torchvision promises torch that at least two boxes stay: those that have a run
        # of their own do.
        apart = (group * scores.shape[1] + run + 2).double() * (boxes.amax().double() + 1.0)
        all_boxes = torch.cat([boxes[group, row].double() + apart[:, None], boxes.new_tensor(ALONE).double()])
        all_scores = torch.cat([scores[group, run, row], scores.new_zeros(2)]).double()
        kept = torch.ops.torchvision.nms(all_boxes, all_scores, threshold)
        places_of = torch.cat([group * places + row, torch.full((2,), groups * places)])  # theirs is behind all others
        flat = scores.new_zeros(groups * places + 1).index_put((places_of[kept],), scores.new_ones(1))
        return flat[:-1].reshape(groups, places) > 0

    def _region_features(self, *given: Any) -> Tensor:
        return RegionFeatures.forward(None, *given)
