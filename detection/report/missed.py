"""Why an object was missed: the first stage of the detector that lost it.

A stage keeps an object while something in its hands overlaps the object by `ENOUGH`; the causes are asked for in the
order of the pipeline, so that every object has one, and causes add up to what was missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection.geometry.boxes import iou
from detection.model.trace import Trace

ENOUGH = 0.5
"""IoU from which a box stands for an object, as in AP50."""


@dataclass(frozen=True)
class Cause:
    """stage: whose fault it is; text: what happened; remedy: the setting that would have kept the object."""

    stage: str
    text: str
    remedy: str


PROPOSALS, CLASSES, BOXES, LIMITS = "proposals", "classes", "boxes", "suppression and thresholds"

CAUSES = {
    "anchor": Cause(
        PROPOSALS,
        "no anchor overlaps it enough",
        "fit model.anchors.sizes and ratios (frcnn check-data shows how); a larger input size for small objects",
    ),
    "proposal_box": Cause(
        PROPOSALS, "the RPN moves no anchor far enough onto it", "train longer, or fit model.anchors.sizes"
    ),
    "proposal_score": Cause(
        PROPOSALS, "the RPN scores its boxes too low", "raise model.rpn.test_before_nms; train longer"
    ),
    "proposal_nms": Cause(
        PROPOSALS, "its proposals are suppressed by those of a neighbour", "raise model.rpn.nms, 0.7 by default"
    ),
    "proposal_limit": Cause(
        PROPOSALS, "its proposals rank below the limit", "raise model.rpn.test_after_nms, the proposals an image"
    ),
    "box": Cause(BOXES, "no box of its class ends near enough", "train longer; look at how tight the labels are"),
    "background": Cause(
        CLASSES, "its regions are scored as background", "train longer or on more such objects; look at its label"
    ),
    "class": Cause(
        CLASSES, "its regions are scored as another class", "more objects of the two classes; look at its label"
    ),
    "score": Cause(CLASSES, "no region scores enough to be a detection", "lower model.roi.score, or train longer"),
    "nms": Cause(
        LIMITS,
        "its detections are suppressed by those of a neighbour",
        "raise model.roi.nms, or --suppression soft in tests",
    ),
    "limit": Cause(LIMITS, "its detections rank below the limit", "raise model.roi.detections, those an image"),
    "threshold": Cause(
        LIMITS,
        "its detection scores below the threshold",
        "train longer; lower the threshold of its class where a miss costs more than a false alarm",
    ),
    "shared": Cause(
        LIMITS, "its detection was counted for a neighbour", "raise model.roi.nms, so that both keep a detection"
    ),
}
"""In the order of the pipeline."""


@dataclass(frozen=True)
class Passage:
    """How far an object came. lost: a key of `CAUSES` other than threshold and shared, None where it came through;
    score: of its best detection that is reported, 0 without; seen_as: the class that its best region is taken for, the
    number of classes for background; background: the probability of that in this region, 1 without one; rank: place of
    its best box among all that the RPN scores, from 1, None without one."""

    lost: str | None
    score: float
    seen_as: int
    background: float
    rank: int | None

    def cause(self, threshold: float) -> str:
        """Why it was missed, its class being reported from `threshold` on."""
        if self.lost is not None:
            return self.lost
        return "threshold" if self.score < threshold else "shared"


def passages(trace: Trace, boxes: Tensor, labels: Tensor, fits: float) -> list[Passage]:
    """How far each object of an image came.

    boxes (G, 4) in pixels of the network's input, labels (G,); fits: IoU below which an anchor learns that an object is
    background, `model.rpn.negative_iou`.
    """
    if not len(boxes):
        return []
    overlaps = {
        "anchors": iou(boxes, trace.anchors),
        "anchor_boxes": iou(boxes, trace.anchor_boxes),
        "candidates": iou(boxes, trace.candidates),
        "unsuppressed": iou(boxes, trace.unsuppressed),
    }
    return [
        _passage(trace, box, int(label), {name: table[k] for name, table in overlaps.items()}, fits)
        for k, (box, label) in enumerate(zip(boxes, labels))
    ]


def _passage(trace: Trace, box: Tensor, label: int, overlap: dict[str, Tensor], fits: float) -> Passage:
    near = overlap["anchor_boxes"] >= ENOUGH
    rank = int((trace.anchor_scores > trace.anchor_scores[near].max()).sum()) + 1 if near.any() else None
    lost = _lost_before_the_regions(trace, overlap, fits)
    if lost is not None:
        return Passage(lost, 0.0, trace.region_scores.shape[1] - 1, 1.0, rank)

    # The region that scores its class best among those whose box of this class ends on it; else among those on it.
    ends = iou(box[None], trace.region_boxes[:, label])[0] >= ENOUGH
    on_it = overlap["unsuppressed"][: trace.proposals] >= ENOUGH
    rows = (ends if ends.any() else on_it).nonzero().squeeze(1)
    best = rows[trace.region_scores[rows, label].argmax()]
    seen_as, background = int(trace.region_scores[best].argmax()), float(trace.region_scores[best, -1])

    def passage(lost: str | None, score: float = 0.0) -> Passage:
        return Passage(lost, score, seen_as, background, rank)

    if not ends.any():
        return passage("box")
    mine = (trace.labels == label) & (iou(box[None], trace.boxes)[0] >= ENOUGH)
    if not mine.any():
        if seen_as == label:
            return passage("score")
        return passage("background" if seen_as == trace.region_scores.shape[1] - 1 else "class")
    if not (mine & trace.kept).any():
        return passage("nms")
    reported = trace.kept & (trace.kept.cumsum(0) <= trace.limit)
    if not (mine & reported).any():
        return passage("limit")
    return passage(None, float(trace.scores[mine & reported].max()))


def _lost_before_the_regions(trace: Trace, overlap: dict[str, Tensor], fits: float) -> str | None:
    """The cause among those of the RPN, None where a proposal lies on the object."""
    if not (overlap["anchor_boxes"] >= ENOUGH).any():
        return "anchor" if not len(overlap["anchors"]) or overlap["anchors"].max() < fits else "proposal_box"
    if not (overlap["candidates"] >= ENOUGH).any():
        return "proposal_score"
    on_it = torch.nonzero(overlap["unsuppressed"] >= ENOUGH).squeeze(1)
    if not len(on_it):
        return "proposal_nms"
    return "proposal_limit" if int(on_it[0]) >= trace.proposals else None
