"""Non-maximum suppression within groups: pyramid levels of the RPN, classes of the RoI head."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import batched_nms

MANY = 8
"""With more than this many candidates for each that is wanted, the best are looked at first (CPU)."""


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
