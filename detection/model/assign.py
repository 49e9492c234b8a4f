"""Which ground truth each anchor or proposal answers for, and which of them train.

boxes    (N, 4) anchors or proposals
labels   (N,) int8: 1 positive, 0 negative, -1 ignored
matched  (N,) int64: row of the ground truth with the best overlap; for no ground truth at all, 0
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection.geometry.boxes import covered, iou
from detection.records import Target

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1

PAIRS = 4_000_000
"""Overlaps held at once: thousands of objects against a pyramid's anchors would take gigabytes."""

CROWD_COVER = 0.5
"""A negative that an ignored region covers by at least this share of its own area is not sampled."""


@dataclass(frozen=True)
class Matcher:
    """Positive at an IoU of at least `high`, negative below `low`, ignored between (Faster R-CNN, section 3.1.2).

    least: no negative below this IoU; 0.1 in Fast R-CNN, section 2.3.

    best_for_each: also positive are the boxes that overlap a ground truth most, ties included, whatever the IoU; they
    keep the ground truth that they overlap most themselves, as in detectron2 and torchvision. Unlike there, a ground
    truth that no box overlaps claims none.
    """

    high: float
    low: float
    best_for_each: bool = False
    least: float = 0.0

    def __call__(self, boxes: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """(labels, matched) of the boxes."""
        # One empty box more: no ground truth is then no special case, and overlaps nothing.
        truth = torch.cat([target.boxes, target.boxes.new_zeros(1, 4)])
        parts = boxes.split(max(1, PAIRS // len(truth)))
        whole = iou(truth, boxes) if len(parts) == 1 else None
        found = [_best(iou(truth, part) if whole is None else whole) for part in parts]
        best, matched = torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])
        labels = torch.full_like(matched, IGNORED, dtype=torch.int8)
        labels.masked_fill_(best < self.low, NEGATIVE).masked_fill_(best >= self.high, POSITIVE)
        labels.masked_fill_(best < self.least, IGNORED)
        if self.best_for_each:
            most = torch.stack([f[2] for f in found]).amax(0)[:, None]
            overlaps = (iou(truth, part) if whole is None else whole for part in parts)
            labels.masked_fill_(torch.cat([((overlap == most) & (most > 0)).any(0) for overlap in overlaps]), POSITIVE)
        if len(target.ignored):
            hidden = covered(boxes, target.ignored) >= CROWD_COVER
            labels.masked_fill_((labels == NEGATIVE) & hidden, IGNORED)
        return labels, matched.clamp_(max=max(len(target.boxes) - 1, 0))


def _best(overlap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of (G, N) overlaps: the largest of each box and its ground truth, (N,), and the largest of each truth, (G,)."""
    best, matched = overlap.max(0)
    return best, matched, overlap.amax(1) if overlap.shape[1] else overlap.new_zeros(len(overlap))


@dataclass(frozen=True)
class Sampler:
    """Takes `count` boxes an image at random, at most `positive_fraction` of them positive; negatives fill up."""

    count: int
    positive_fraction: float

    @property
    def most_positive(self) -> int:
        """Positives are among the first so many rows of a sample."""
        return int(self.count * self.positive_fraction)

    def __call__(self, labels: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Rows of what is taken and the labels (S,) there: positives, negatives, and where there are too few of both,
        rows that mean nothing, ignored. So S, at most `count`, follows from shapes alone and no device is asked."""
        last, taken = len(labels), min(self.count, len(labels))
        order = torch.randperm(last, device=labels.device, generator=generator).int()  # a place for each, none twice
        positive = torch.where(labels == POSITIVE, order, last).topk(min(self.most_positive, taken), largest=False)
        negative = torch.where(labels == NEGATIVE, order, last).topk(taken, largest=False)
        found = torch.cat(
            [
                torch.where(positive.values < last, POSITIVE, IGNORED),
                torch.where(negative.values < last, NEGATIVE, IGNORED),
            ]
        )
        first = found.argsort(descending=True, stable=True)[:taken]
        return torch.cat([positive.indices, negative.indices])[first], found[first]


def generators(seeds: list[int] | None, count: int, device: torch.device) -> list[torch.Generator | None]:
    """What the sampling of each of `count` images draws from: its own seed, or torch's state where there is none."""
    if seeds is None:
        return [None] * count
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]


def goal_boxes(target: Target, rows: Tensor) -> Tensor:
    """Boxes of the ground truth `rows`; none for no rows, even where there is no ground truth at all."""
    return target.boxes[rows] if len(target.boxes) else target.boxes.new_zeros((len(rows), 4))
