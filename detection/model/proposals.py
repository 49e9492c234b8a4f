"""From what the RPN says of every anchor to the proposals of every image.

per level  logits (B, H*W*A), deltas (B, H*W*A, 4), anchors (H*W*A, 4)
proposals  per image: boxes (P, 4) within the image, logits (P,), best first
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection.geometry.box_coder import BoxCoder
from detection.geometry.boxes import clip, larger_than
from detection.geometry.suppression import suppress_each
from detection.records import Size


@dataclass(frozen=True)
class ProposalLimits:
    """How many proposals survive: `before` suppression per level, `after` it per image."""

    before: int
    after: int


@dataclass(frozen=True)
class Proposals:
    """Proposals of one image: boxes (P, 4) float32, logits (P,), best first."""

    boxes: Tensor
    logits: Tensor


@dataclass(frozen=True)
class ProposalSelector:
    """Decode the best anchors of each level, cut at the image, suppress per level, keep the best of all levels.

    nms: IoU above which the weaker of two is dropped; min_side: both sides must be longer, in pixels.
    """

    nms: float = 0.7
    min_side: float = 0.0
    coder: BoxCoder = BoxCoder()

    @torch.no_grad()
    def __call__(
        self,
        logits: list[Tensor],
        deltas: list[Tensor],
        anchors: list[Tensor],
        sizes: list[Size],
        limits: ProposalLimits,
    ) -> list[Proposals]:
        boxes, scores, valid, runs = self.candidates(logits, deltas, anchors, sizes, limits.before)
        kept = suppress_each(boxes, scores, valid, runs, self.nms, limits.after)
        return [Proposals(own[rows], score[rows]) for own, score, rows in zip(boxes, scores, kept)]

    @torch.no_grad()
    def candidates(
        self, logits: list[Tensor], deltas: list[Tensor], anchors: list[Tensor], sizes: list[Size], before: int
    ) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """What suppression decides about: boxes (B, N, 4) within the images, logits (B, N), valid (B, N) and how many
        of the N are of each level, best first."""
        boxes, scores = [], []
        for level_logits, level_deltas, level_anchors in zip(logits, deltas, anchors):
            count = min(before, level_logits.shape[1])
            top, rows = level_logits.float().topk(count, dim=1)  # (B, count)
            taken = level_deltas.gather(1, rows[..., None].expand(-1, -1, 4))
            boxes.append(self.coder.decode(taken, level_anchors[rows]))  # (B, count, 4)
            scores.append(top)
        all_scores = torch.cat(scores, 1)
        within = torch.stack([clip(own, size) for own, size in zip(torch.cat(boxes, 1), sizes)])
        valid = larger_than(within, self.min_side) & torch.isfinite(all_scores)
        return within, all_scores, valid, [part.shape[1] for part in scores]
