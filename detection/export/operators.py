"""Operators that ONNX has and torch's tracing exporter does not write as they are needed here.

Each computes in torch what the operator computes, and is written into a graph as this one operator.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import ops


def count_to(number: Tensor) -> Tensor:
    """0 .. number - 1, (number,) int64, of a number that is only known when the graph runs."""
    return torch.arange(number)  # type: ignore[call-overload]


def strongest(scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Values and places of the `most` largest of (B, N) along the rows, of all where there are fewer, best first."""
    count = torch.clamp(torch._shape_as_tensor(scores)[1], max=most)
    return scores.topk(count, dim=1)  # type: ignore[arg-type]


class PadBelow(torch.autograd.Function):
    """(B, C, H, W) with `more` (2,) int64 rows of zeros below and columns to the right."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, more: Tensor) -> Tensor:
        below, right = more.tolist()
        return F.pad(x, (0, right, 0, below))

    @staticmethod
    def symbolic(g: Any, x: Any, more: Any) -> Any:
        nothing = g.op("Constant", value_t=torch.zeros(6, dtype=torch.int64))
        zero = g.op("Constant", value_t=torch.tensor(0.0))
        return g.op("Pad", x, g.op("Concat", nothing, more, axis_i=0), zero)


class Suppression(torch.autograd.Function):
    """boxes (B, N, 4), scores (B, C, N) -> (S, 3) int64 of group, class and row of what is kept: of each class, the
    best first and `most` of them, without those that a better one overlaps by an IoU above `threshold`; scores above
    `least` only."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, threshold: float, least: float, most: int) -> Tensor:
        kept = [boxes.new_zeros((0, 3), dtype=torch.int64)]
        for group, (own, by_class) in enumerate(zip(boxes, scores)):
            for label, score in enumerate(by_class):
                rows = (score > least).nonzero().squeeze(1)
                rows = rows[ops.nms(own[rows], score[rows], threshold)[:most]]
                kept.append(torch.stack([torch.full_like(rows, group), torch.full_like(rows, label), rows], 1))
        return torch.cat(kept)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, threshold: float, least: float, most: int) -> Any:
        number = g.op("Constant", value_t=torch.tensor([most]))
        overlap, score = (g.op("Constant", value_t=torch.tensor([value])) for value in (threshold, least))
        return g.op("NonMaxSuppression", boxes, scores, number, overlap, score)


class RegionFeatures(torch.autograd.Function):
    """RoIAlign or RoIPool of (R, 4) boxes, each on the map of its `image` (R,) int64 -> (R, C, size, size)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, boxes: Tensor, image: Tensor, kind: str, size: int, stride: int, sampling: int
    ) -> Tensor:
        regions = torch.cat([image[:, None].to(boxes.dtype), boxes], 1)
        if kind == "pool":
            return ops.roi_pool(x, regions, size, 1 / stride)
        return ops.roi_align(x, regions, size, 1 / stride, sampling, aligned=kind == "align")

    @staticmethod
    def symbolic(g: Any, x: Any, boxes: Any, image: Any, kind: str, size: int, stride: int, sampling: int) -> Any:
        if kind == "pool":
            column = g.op("Constant", value_t=torch.tensor([1]))
            number = g.op("Unsqueeze", g.op("Cast", image, to_i=1), column)
            regions = g.op("Concat", number, boxes, axis_i=1)
            return g.op("MaxRoiPool", x, regions, pooled_shape_i=[size, size], spatial_scale_f=1 / stride)
        where = "half_pixel" if kind == "align" else "output_half_pixel"
        how = {"output_height_i": size, "output_width_i": size, "spatial_scale_f": 1 / stride}
        return g.op(
            "RoiAlign", x, boxes, image, **how, sampling_ratio_i=sampling, coordinate_transformation_mode_s=where
        )
