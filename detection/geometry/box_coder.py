"""A box as four deltas from a reference box (R-CNN, appendix C).

references, boxes  (..., 4) x1 y1 x2 y2
deltas             (..., 4) dx dy dw dh: shift of the centre in units of the reference's size, log of the size ratio
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_LOG_RATIO = math.log(1000.0 / 16)
"""Clamp of dw and dh before exp: no box grows more than from a 16-pixel reference to 1,000 pixels (Detectron)."""


@dataclass(frozen=True)
class BoxCoder:
    """weights: factors of dx dy dw dh; 1 1 1 1 for the RPN, 10 10 5 5 for the RoI head (the inverse of the deltas'
    standard deviations in Fast R-CNN). They are numbers of the host: a tensor of them would be copied to the device."""

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """Deltas that lead from each reference to its box. References must have positive sides."""
        size = references[..., 2:] - references[..., :2]
        centre = references[..., :2] + 0.5 * size
        goal_size = boxes[..., 2:] - boxes[..., :2]
        goal_centre = boxes[..., :2] + 0.5 * goal_size
        shift = (goal_centre - centre) / size
        scale = torch.log(goal_size / size)
        deltas = torch.cat([shift, scale], -1)
        return torch.stack([d * weight for d, weight in zip(deltas.unbind(-1), self.weights)], -1)

    def decode(self, deltas: Tensor, references: Tensor) -> Tensor:
        """Boxes where the deltas lead; `references` broadcasts against `deltas`."""
        deltas = torch.stack([d / weight for d, weight in zip(deltas.float().unbind(-1), self.weights)], -1)
        size = references[..., 2:] - references[..., :2]
        centre = references[..., :2] + 0.5 * size
        new_centre = deltas[..., :2] * size + centre
        half = 0.5 * torch.exp(deltas[..., 2:].clamp(max=LARGEST_LOG_RATIO)) * size
        return torch.cat([new_centre - half, new_centre + half], -1)
