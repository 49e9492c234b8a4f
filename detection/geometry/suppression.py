"""Non-maximum suppression within groups: pyramid levels of the RPN, classes of the RoI head."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detection.records import Size
from detection.transfer import on_host

MANY = 8
"""With more than this many candidates for each that is wanted, the best are looked at first (CPU)."""

AT_ONCE = 65_536
"""Boxes that one suppression on a device takes at most: it compares each with each, in a table of this squared bits."""


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
    boxes: Tensor, scores: Tensor, valid: Tensor, groups: list[int], size: Size, threshold: float, limit: int
) -> list[Tensor]:
    """For each image of a batch the rows to keep, best first, at most `limit`.

    boxes (B, N, 4) within images of at most `size`; scores (B, N); valid (B, N): rows that are there at all; groups:
    lengths of the runs of rows among which one suppresses another, the same in all images. On a GPU the host waits
    twice whatever B, and once for one image; on the CPU, where waiting costs nothing, each image goes alone.
    """
    if boxes.device.type == "cpu":
        runs = torch.arange(len(groups)).repeat_interleave(torch.tensor(groups))
        kept = []
        for own, score, there in zip(boxes, scores, valid):
            rows = there.nonzero().squeeze(1)
            kept.append(rows[suppress(own[rows], score[rows], runs[rows], threshold, limit)])
        return kept
    images = max(1, AT_ONCE // max(boxes.shape[1], 1))
    parts = zip(boxes.split(images), scores.split(images), valid.split(images))
    return [rows for part in parts for rows in _together(*part, groups, size, threshold, limit)]


def _together(
    boxes: Tensor, scores: Tensor, valid: Tensor, groups: list[int], size: Size, threshold: float, limit: int
) -> list[Tensor]:
    """All images in one suppression: every group of every image is moved to a field of its own of a square board."""
    count, rows = scores.shape
    fields = count * len(groups)
    side = math.isqrt(fields) + 1  # one field more, for the rows that are not there
    step = max(size) + 1  # whole and centred around 0, so that moving costs few digits
    starts = [sum(groups[:i]) for i in range(len(groups))]
    field = torch.arange(count, device=boxes.device)[:, None] * len(groups)
    field = field + sum((torch.arange(rows, device=boxes.device) >= start).long() for start in starts[1:])
    move = torch.stack([field % side, field.div(side, rounding_mode="floor")], -1).to(boxes.dtype) - side // 2
    placed = boxes + (move * step).repeat(1, 1, 2)
    # All that are not there are one box, the last: of them one survives, behind all others, and is cut off.
    nobody = placed.new_full((4,), (side - side // 2) * step) + torch.arange(4, device=boxes.device).ge(2) * step
    placed = torch.cat([torch.where(valid[..., None], placed, nobody).flatten(0, 1), nobody[None]])
    ranked = torch.where(valid, scores, -torch.inf).flatten()
    kept = nms(placed.float(), torch.cat([ranked, ranked.new_full((1,), -torch.inf)]).float(), threshold)[:-1]
    if count == 1 and threshold < 1:
        return [kept[:limit]]
    there = torch.cat([valid.flatten(), valid.new_zeros(1)])[kept]
    image = torch.where(there, kept.div(rows, rounding_mode="floor"), count)
    numbers = (image[:, None] == torch.arange(count, device=boxes.device)).sum(0)
    ends = on_host(numbers)[0].tolist()
    order = kept[image.argsort(stable=True)]
    return [own[:limit] % rows for own in order[: sum(ends)].split(ends)]
