"""Losses of box regression, and what divides the sums of all losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from detection import parallel
from detection.geometry.box_coder import BoxCoder
from detection.geometry.boxes import area

TINY = 1e-7
"""Keeps quotients of areas finite, as in torchvision and fvcore."""


@dataclass(frozen=True)
class BoxLoss:
    """Regression loss of positives.

    kind: "smooth_l1" between deltas, quadratic below `beta` (Fast R-CNN, equation 3, has beta 1; beta 0 is L1);
    "giou" between boxes (Rezatofighi et al. 2019).
    """

    kind: Literal["smooth_l1", "giou"] = "smooth_l1"
    beta: float = 0.0

    def __call__(
        self, deltas: Tensor, references: Tensor, goals: Tensor, coder: BoxCoder, counted: Tensor | None = None
    ) -> Tensor:
        """Sum over rows: predicted deltas (P, 4) from references (P, 4) against the boxes `goals` (P, 4).

        counted: (P,) bool, the rows that count; the others may hold anything. None: all.
        """
        if counted is not None:
            goals = torch.where(counted[:, None], goals, references)
        if self.kind == "giou":
            each = _generalised_iou_loss(coder.decode(deltas, references), goals)
        else:
            wanted = coder.encode(goals, references)
            each = F.smooth_l1_loss(deltas.float(), wanted, reduction="none", beta=self.beta).sum(1)
        return (each if counted is None else torch.where(counted, each, 0.0)).sum()


def _generalised_iou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - GIoU of each pair of boxes (P, 4) -> (P,). torchvision's picks the pairs that overlap by a mask as an index,
    whose size the host has to wait for, thirty times a step."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    side = high - low
    shared = torch.where((side > 0).all(1), side[:, 0] * side[:, 1], 0.0)
    union = area(a) + area(b) - shared
    around = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    hull = around[:, 0] * around[:, 1]
    return 1 - shared / (union + TINY) + (hull - union) / (hull + TINY)


@dataclass(frozen=True)
class LossSums:
    """Losses of one stage, by name, summed over its samples, and the number of these, on the device."""

    sums: dict[str, Tensor]
    count: Tensor


def per_sample(stages: list[LossSums], training: bool) -> dict[str, Tensor]:
    """The losses of all stages, each over the number of its stage's samples; in training over that of all processes'
    batches, which they tell each other of in one message."""
    counts = torch.stack([stage.count for stage in stages])
    shares = parallel.share_of(counts) if training else counts.clamp(min=1)
    return {name: value / share for stage, share in zip(stages, shares) for name, value in stage.sums.items()}
