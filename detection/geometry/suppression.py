"""Non-maximum suppression within groups: pyramid levels of the RPN, classes of the RoI head."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import batched_nms


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float, limit: int) -> Tensor:
    """Rows to keep, best first, at most `limit`.

    boxes (N, 4), scores (N,), groups (N,) int64: a box is dropped when a better one of its group overlaps it by an
    IoU above `threshold`.
    """
    return batched_nms(boxes.float(), scores.float(), groups, threshold)[:limit]
