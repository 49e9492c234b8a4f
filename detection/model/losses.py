"""Losses of box regression. Sums, which the caller divides by its number of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from detection.geometry.box_coder import BoxCoder


@dataclass(frozen=True)
class BoxLoss:
    """Regression loss of positives.

    kind: "smooth_l1" between deltas, quadratic below `beta` (Fast R-CNN, equation 3, has beta 1; beta 0 is L1);
    "giou" between boxes (Rezatofighi et al. 2019).
    """

    kind: Literal["smooth_l1", "giou"] = "smooth_l1"
    beta: float = 0.0

    def __call__(self, deltas: Tensor, references: Tensor, goals: Tensor, coder: BoxCoder) -> Tensor:
        """Sum over rows: predicted deltas (P, 4) from references (P, 4) against the boxes `goals` (P, 4)."""
        if self.kind == "giou":
            return generalized_box_iou_loss(coder.decode(deltas, references), goals, reduction="sum")
        wanted = coder.encode(goals, references)
        return F.smooth_l1_loss(deltas.float(), wanted, reduction="sum", beta=self.beta)
