"""Soft-NMS (Bodla et al. 2017, section 3): what overlaps a better detection loses score instead of its place."""

from __future__ import annotations

import torch

from detection.geometry.boxes import iou
from detection.model.selection import Candidates


def soften(found: Candidates, nms: float, count: int, least: float) -> Candidates:
    """Best first, at most `count`, scores above `least` after the decay.

    Once a box is taken, the scores of all others of its class that overlap it by an IoU of at least `nms` are
    multiplied by 1 - IoU: the linear decay, because the Gaussian one has no threshold for `nms` to set.
    """
    scores, rows, taken = found.scores.clone(), [], []
    for _ in range(min(count, len(scores))):
        score, row = scores.max(0)
        if not score > least:
            break
        rows.append(row)
        taken.append(score)
        overlap = iou(found.boxes[row][None], found.boxes)[0]
        decays = (found.labels == found.labels[row]) & (overlap >= nms)
        scores = torch.where(decays, scores * (1 - overlap), scores)
        scores[row] = -torch.inf
    if not rows:
        return found.take(torch.zeros_like(found.labels[:0]))
    chosen = torch.stack(rows)
    return Candidates(found.boxes[chosen], torch.stack(taken), found.labels[chosen])
