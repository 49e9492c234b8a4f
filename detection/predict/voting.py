"""Box voting (Gidaris & Komodakis 2015, section 5): where many predictions agree, their mean lies better than the best.

Nothing is said there of negative scores, which probabilities do not have.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from detection.geometry.boxes import iou
from detection.model.selection import Candidates

LEAST_IOU = 0.5
"""Predictions that overlap a detection by this much vote on its box."""


def vote(kept: Candidates, voters: Candidates, least: float = LEAST_IOU) -> Candidates:
    """`kept` with each box the mean, weighted by score, of the `voters` of its class that overlap it by an IoU of at
    least `least`; scores, labels and order stay.

    voters: all predictions before suppression, also those that score too little to be detections. A box for which
    nobody votes, such as a fused one, stays.
    """
    votes = (iou(kept.boxes, voters.boxes) >= least) & (kept.labels[:, None] == voters.labels)  # (N, M)
    weights = votes * voters.scores
    total = weights.sum(1, keepdim=True)
    mean = weights @ voters.boxes / total
    return replace(kept, boxes=torch.where(total > 0, mean, kept.boxes))
