"""Boxes: (N, 4) float32, x1 y1 x2 y2 in pixels, continuous edges."""

from __future__ import annotations

import torch
from torch import Tensor

from detection.records import Size


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Shared area of every pair: (N, 4), (M, 4) -> (N, M)."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    side = (high - low).clamp_(min=0)
    return side[..., 0] * side[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every pair: (N, 4), (M, 4) -> (N, M); 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - shared
    return torch.where(union > 0, shared / union, 0.0)


def covered(boxes: Tensor, regions: Tensor) -> Tensor:
    """Largest share of each box that one of the regions covers: (N, 4), (M, 4) -> (N,); 0 without regions."""
    regions = torch.cat([regions, regions.new_zeros(1, 4)])
    share = intersection(boxes, regions).amax(1)
    own = area(boxes)
    return torch.where(own > 0, share / own, 0.0)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (..., 4) cut at the edges of an image of `size`."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], -1)


def inside(boxes: Tensor, size: Size) -> Tensor:
    """Of boxes (..., 4) those, (...) bool, that cross no edge of an image of `size`."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)


def larger_than(boxes: Tensor, side: float) -> Tensor:
    """Of boxes (..., 4) those, (...) bool, whose sides are both longer than `side` pixels and finite."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return (sides > side).all(-1) & torch.isfinite(boxes).all(-1)


def rescale(boxes: Tensor, size: Size, to: Size) -> Tensor:
    """Boxes of an image of `size` in the pixels of the same image at size `to`."""
    y, x = to[0] / size[0], to[1] / size[1]
    return torch.stack([edge * scale for edge, scale in zip(boxes.unbind(-1), (x, y, x, y))], -1)
