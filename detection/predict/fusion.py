"""Weighted box fusion (Solovyev et al. 2021), by its authors' library."""

from __future__ import annotations

import torch

from detection.errors import InputError
from detection.model.selection import Candidates
from detection.records import Size


def require_fusion() -> None:
    """Raise `InputError` where the library is missing. It brings numba and pandas, so it is no part of the install."""
    try:
        import ensemble_boxes  # noqa: F401
    except ImportError:
        raise InputError("suppression wbf needs a library: pip install ensemble-boxes") from None


def fuse(found: Candidates, nms: float, count: int, size: Size) -> Candidates:
    """Best first, at most `count`: each cluster of boxes of a class becomes their mean, weighted by score.

    nms: IoU with a cluster's mean above which a box joins it. size: of the image the boxes lie in. The score is the
    best of the cluster: the paper's mean judges detectors that each speak once of an object, but regions of one
    detector speak of it as often as there are proposals, most of them worse than the best.
    """
    from ensemble_boxes import weighted_boxes_fusion

    if not len(found.boxes):  # the library's answer has no shape then
        return found
    height, width = size
    sides = torch.tensor([width, height, width, height], dtype=torch.float64)
    relative = (found.boxes.double() / sides).clamp(0, 1)
    scores, labels = found.scores.double().numpy(), found.labels.numpy()
    boxes, scores, labels = weighted_boxes_fusion([relative.numpy()], [scores], [labels], iou_thr=nms, conf_type="max")
    fused = (torch.from_numpy(boxes[:count]) * sides).float()
    return Candidates(fused, torch.from_numpy(scores[:count]).float(), torch.from_numpy(labels[:count]).long())
