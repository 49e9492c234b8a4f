"""Non-maximum suppression within groups: pyramid levels of the RPN, classes of the RoI head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms

from detection.geometry.boxes import area
from detection.transfer import on_host

MANY = 8
"""With more than this many candidates for each that is wanted, the best are looked at first (CPU)."""

PAIRS = 256_000_000
"""Pairs of boxes that a device compares for one decision: half a gigabyte in 16 bits."""

BLOCK = 32_000_000
"""Of them, those whose overlaps are computed at once."""

ROUNDS = 16
"""Rounds of `_decide` between two looks at whether it has ended: chains of suppression are seldom longer."""


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float, limit: int) -> Tensor:
    """Rows to keep, best first, at most `limit`.

    boxes (N, 4), scores (N,), groups (N,) int64: a box is dropped when a better one of its group overlaps it by an
    IoU above `threshold`.
    """
    if boxes.device.type == "cpu" and len(boxes) > MANY * limit:
        return _from_the_best(boxes, scores, groups, threshold, limit)
    return batched_nms(boxes.float(), scores.float(), groups, threshold)[:limit]


def _from_the_best(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float, limit: int) -> Tensor:
    """The same by ever longer heads of the ranking: what survives there survives, whatever comes behind."""
    order = scores.sort(descending=True, stable=True).indices
    count = max(MANY * limit // 2, 1)
    while True:
        head = order[:count]
        # In float64, since the groups are moved apart: thousands of classes would leave float32 few digits of a pixel.
        kept = batched_nms(boxes[head].double(), scores[head].double(), groups[head], threshold)
        if len(kept) >= limit or count >= len(order):
            return head[kept[:limit]]
        count *= 2


def suppress_each(
    boxes: Tensor, scores: Tensor, valid: Tensor, groups: list[int], threshold: float, limit: int
) -> list[Tensor]:
    """For each image of a batch the rows to keep, best first, at most `limit`.

    boxes (B, N, 4); scores (B, N); valid (B, N): rows that are there at all; groups: lengths of the runs of rows among
    which one suppresses another, the same in all images, each run best first. On a device the host waits about once
    for as many images as `PAIRS` holds; on the CPU, where waiting costs nothing, each image goes alone.
    """
    if boxes.device.type == "cpu":
        runs = torch.arange(len(groups)).repeat_interleave(torch.tensor(groups))
        kept = []
        for own, score, there in zip(boxes, scores, valid):
            rows = there.nonzero().squeeze(1)
            kept.append(rows[suppress(own[rows], score[rows], runs[rows], threshold, limit)])
        return kept
    images = max(1, PAIRS // max(len(groups) * max(groups, default=0) ** 2, 1))
    parts = zip(boxes.split(images), scores.split(images), valid.split(images))
    return [rows for part in parts for rows in suppress_in_rounds(*part, groups, threshold, limit)]


def suppress_in_rounds(
    boxes: Tensor, scores: Tensor, valid: Tensor, groups: list[int], threshold: float, limit: int
) -> list[Tensor]:
    """What `suppress_each` gives, by operations on all runs of all images at a time.

    A library's kernel decides box after box, which leaves a GPU idle for a microsecond each: with the proposals of
    eight images on five levels that is half of a training step.
    """
    longest = max(groups, default=0)
    padded = [F.pad(run, (0, 0, 0, longest - run.shape[1])) for run in boxes.split(groups, 1)]
    there = [F.pad(run, (0, longest - run.shape[1])) for run in valid.split(groups, 1)]
    alive = torch.stack(there, 1).flatten(0, 1)  # (B * L, n)
    possible, suppresses = alive, _suppresses(torch.stack(padded, 1).flatten(0, 1).float(), threshold)
    ended = False
    while not ended:
        alive, before = _decide(alive, possible, suppresses)
        runs = alive.unflatten(0, (len(boxes), len(groups))).unbind(1)
        kept = torch.cat([run[:, :length] for run, length in zip(runs, groups)], 1)
        best = torch.where(kept, scores.float(), -torch.inf).topk(min(limit, scores.shape[1]), dim=1)
        same, counts = on_host((alive == before).all(), kept.sum(1))
        ended = bool(same)
    return [rows[:count] for rows, count in zip(best.indices, counts.tolist())]


def _suppresses(boxes: Tensor, threshold: float) -> Tensor:
    """(P, n, 4) boxes, best first -> (P, n, n): 1 where the box of the row, if it stays, drops that of the column."""
    runs, count = boxes.shape[:2]
    kind = torch.float32 if boxes.device.type == "cpu" else torch.float16
    table = torch.empty(runs, count, count, dtype=kind, device=boxes.device)
    rows = max(1, BLOCK // max(runs * count, 1))
    edges, areas = boxes.permute(2, 0, 1).contiguous(), area(boxes)
    for start in range(0, count, rows):
        block = slice(start, start + rows)
        shared = _shared(*edges[:, :, block, None], *edges[:, :, None])
        union = (areas[:, block, None] + areas[:, None]).sub_(shared)
        # 0 / 0 of two empty boxes is no overlap, as in torchvision.
        table[:, block] = (shared.div_(union) > threshold).triu_(start + 1)
    return table


def _shared(left: Tensor, top: Tensor, right: Tensor, bottom: Tensor, *of_the_other: Tensor) -> Tensor:
    """Area in common of boxes by their edges, which broadcast against those of the others."""
    x1, y1, x2, y2 = of_the_other
    width = torch.minimum(right, x2).sub_(torch.maximum(left, x1)).clamp_(min=0)
    return torch.minimum(bottom, y2).sub_(torch.maximum(top, y1)).clamp_(min=0).mul_(width)


def _decide(alive: Tensor, possible: Tensor, suppresses: Tensor) -> tuple[Tensor, Tensor]:
    """Some rounds in which each box stays that none of those that stayed in the round before drops; and what stayed
    before the last round. Where that is the same, it is the greedy answer: the best box is right from the beginning,
    and each is once all better ones are."""
    before = alive
    for _ in range(ROUNDS):
        before = alive
        alive = possible & (torch.bmm(before[:, None].to(suppresses.dtype), suppresses)[:, 0] == 0)
    return alive, before
