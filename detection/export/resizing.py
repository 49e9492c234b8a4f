"""The resize of prediction as two products of matrices, to the very level: torch's own, in plain operators.

torch resizes bytes as Pillow does, across and then down, with weights of 16 bits, and rounds in between. Here the
weights are the same whole numbers, as float32, which holds every sum of them exactly while no side shrinks to less than
a third (beyond that one sum in some hundred thousand rounds the other way). Every runtime has these operators, and they
are far cheaper than the network unless a picture has ten times its pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from detection.export.operators import count_to


def resize(planes: Tensor, size: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to `size` (2,) int64 height and width, float32 of whole numbers 0..255."""
    before = torch._shape_as_tensor(planes)
    across, precision = _weights(before[3:], size[1:])
    x = _rounded(planes.float() @ across.T, precision)
    down, precision = _weights(before[2:3], size[:1])
    return _rounded(down @ x, precision)


def _weights(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """(after, before) float32 weights of the old pixels for each new one, times the factor (1,) that is returned
    beside; of the triangle filter, which is as wide as the step from pixel to pixel where that is more than 1.

    before, after: (1,) int64. Numbers are tensors of one element throughout: of those without an axis the exporter of
    torch takes float64 for float32.
    """
    step = before.double() / after.double()
    centre = (count_to(after[0]).double() + 0.5) * step
    apart = count_to(before[0]).double() + 0.5 - centre[:, None]
    raw = (1.0 - (apart / step.clamp(min=1.0)).abs()).clamp(min=0.0)
    weights = raw / raw.sum(1, keepdim=True)
    bits = (
        torch.ceil(torch.log2((2.0**15 - 0.5) / weights.flatten().amax(0, keepdim=True))) - 1.0
    )  # as many as 16 with a sign hold
    factor = torch.pow(torch.full_like(bits, 2.0), bits)
    return torch.floor(weights * factor + 0.5).float(), factor.float()


def _rounded(sums: Tensor, factor: Tensor) -> Tensor:
    return torch.floor((sums + factor / 2) / factor).clamp(0.0, 255.0)
