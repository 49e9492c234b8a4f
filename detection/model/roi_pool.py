"""A fixed-size feature for each region.

maps      per level (B, C, H, W)
boxes     per image (R_i, 4) in pixels of the network's input; on the host they tell their levels without a wait
features  (sum R_i, C, size, size), images in order
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import ops

from detection.geometry.boxes import area
from detection.model.roi_align import roi_align
from detection.transfer import on_host, to_device

CANONICAL_SIZE, CANONICAL_LEVEL = 224, 4
"""A region of 224 x 224 pixels belongs to P4 (FPN, equation 1)."""


def pyramid_level(boxes: Tensor, lowest: int, highest: int) -> Tensor:
    """(N,) index into the levels `lowest`..`highest` that serves each box: 0 is the finest (FPN, equation 1)."""
    side = area(boxes).clamp(min=0).sqrt()
    level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE + 1e-8))  # 1e-8: as in detectron2
    return level.clamp(lowest, highest).to(torch.int64) - lowest


class RoIPooler(nn.Module):
    """RoIAlign or RoIPool over one map, or over the pyramid level that fits each region.

    Args:
        kind: "align" (half-pixel correction, detectron2's ROIAlignV2), "align_legacy" (without it: torchvision's
            detectors, Mask R-CNN's first release), "pool" (Fast R-CNN's max pooling).
        size: side of the output.
        strides: of each map; with more than one they are P2, P3, ...
        sampling_ratio: points per bin and axis of RoIAlign; 0 adapts it to the region.
    """

    def __init__(
        self, kind: Literal["align", "align_legacy", "pool"], size: int, strides: list[int], sampling_ratio: int = 0
    ) -> None:
        super().__init__()
        self.kind = kind
        self.size = size
        self.strides = strides
        self.sampling_ratio = sampling_ratio

    def forward(self, maps: list[Tensor], boxes: list[Tensor]) -> Tensor:
        image = torch.cat([torch.full_like(b[:, :1], i) for i, b in enumerate(boxes)])
        regions = torch.cat([image, torch.cat(boxes)], 1)  # (R, 5): image, x1, y1, x2, y2
        device = maps[0].device
        level = torch.zeros(len(regions), dtype=torch.int64, device=regions.device)
        if len(maps) > 1:
            level = pyramid_level(regions[:, 1:], 2, 1 + len(maps))
        maps = [x.float() for x in maps]  # half precision would round the regions' coordinates to pixels and worse
        if self.kind != "pool" and device.type == "cpu":
            scales = [1 / stride for stride in self.strides]
            return roi_align(maps, regions, level, self.size, scales, self.sampling_ratio, self.kind == "align")
        if len(maps) == 1:
            return self._pool(maps[0], to_device(regions, device), self.strides[0])
        order = level.argsort(stable=True)
        of_each = (level[:, None] == torch.arange(len(maps), device=level.device)).sum(0)
        counts = on_host(of_each)[0].tolist()  # one question for all levels
        sorted_regions = to_device(regions[order], device).split(counts)
        parts = [self._pool(x, some, stride) for x, some, stride in zip(maps, sorted_regions, self.strides)]
        return torch.cat(parts).index_select(0, to_device(order.argsort(), device))

    def _pool(self, x: Tensor, regions: Tensor, stride: int) -> Tensor:
        if self.kind == "pool":
            return ops.roi_pool(x, regions, self.size, 1 / stride)
        return ops.roi_align(x, regions, self.size, 1 / stride, self.sampling_ratio, aligned=self.kind == "align")
