"""One image through the detector with what each stage had to choose from, to see where an object was lost.

The stages are the model's own, asked for more than they keep: what comes out at the end is what `FasterRCNN.detect`
gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection.geometry.boxes import clip, larger_than
from detection.geometry.suppression import suppress, suppress_each
from detection.model.faster_rcnn import FasterRCNN, Inference
from detection.model.roi_stage import ROI_CODER
from detection.records import Batch, Size


@dataclass(frozen=True)
class Trace:
    """What the stages saw of one image, on the host, boxes in pixels of the network's input of `size`.

    anchors (A, 4); anchor_boxes (A, 4): what the RPN makes of them; anchor_scores (A,): their logits;
    candidates (N, 4): the best of each level, among which suppression chooses;
    unsuppressed (M, 4): what it leaves, best first, of which the first `proposals` are the second stage's;
    region_boxes (P, K, 4) and region_scores (P, K + 1): what that makes of them, background last;
    detections: boxes (D, 4), scores (D,) and labels (D,) above the score threshold and within the image, best first,
    `kept` (D,) bool: by suppression, of which the first `limit` are reported.
    """

    size: Size
    anchors: Tensor
    anchor_boxes: Tensor
    anchor_scores: Tensor
    candidates: Tensor
    unsuppressed: Tensor
    proposals: int
    region_boxes: Tensor
    region_scores: Tensor
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    kept: Tensor
    limit: int


@torch.inference_mode()
def trace(model: FasterRCNN, batch: Batch, inferred: Inference) -> list[Trace]:
    """The trace of each image of a batch, of which `inferred` is what the model says. Raises `ValueError` where the
    proposals are not the RPN's."""
    output, limits = inferred.rpn, model.test_limits
    if output is None or batch.proposals is not None:
        raise ValueError("only a detector's own proposals can be traced")
    parts = output.logits, output.deltas, output.anchors, batch.sizes
    boxes, scores, valid, runs = model.selector.candidates(*parts, limits.before)
    everything = suppress_each(boxes, scores, valid, runs, model.selector.nms, boxes.shape[1])
    proposals, logits, deltas = inferred.proposals, inferred.logits, inferred.deltas
    counts = [len(own) for own in proposals]
    anchors = torch.cat(output.anchors)
    found = []
    regions = zip(logits.split(counts), deltas.split(counts), proposals)
    for image, (own_logits, own_deltas, own) in enumerate(regions):
        decoded = model.selector.coder.decode(torch.cat(output.deltas, 1)[image], anchors)
        seen = _Regions(own_logits.float().softmax(1).cpu(), ROI_CODER.decode(own_deltas, own[:, None]).cpu())
        found.append(
            Trace(
                batch.sizes[image],
                anchors.cpu(),
                clip(decoded, batch.sizes[image]).cpu(),
                torch.cat(output.logits, 1)[image].float().cpu(),
                boxes[image][valid[image]].cpu(),
                boxes[image][everything[image]].cpu(),
                len(own),
                *seen.spread(),
                *seen.detections(model, batch.sizes[image]),
                model.roi_stage.limits.count,
            )
        )
    return found


@dataclass(frozen=True)
class _Regions:
    """scores (P, K + 1), boxes (P, K or 1, 4)."""

    scores: Tensor
    boxes: Tensor

    def spread(self) -> tuple[Tensor, Tensor]:
        """Boxes of every class, also where all share one, and the scores."""
        return self.boxes.expand(-1, self.scores.shape[1] - 1, -1), self.scores

    def detections(self, model: FasterRCNN, size: Size) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores, labels, and which of them suppression keeps, best first."""
        limits = model.roi_stage.limits
        row, label = (self.scores[:, :-1] > limits.score).nonzero(as_tuple=True)
        boxes, scores = clip(self.spread()[0][row, label], size), self.scores[row, label]
        inside = larger_than(boxes, 0.0)
        boxes, scores, label = boxes[inside], scores[inside], label[inside]
        order = scores.argsort(descending=True, stable=True)
        boxes, scores, label = boxes[order], scores[order], label[order]
        kept = torch.zeros(len(boxes), dtype=torch.bool)
        kept[suppress(boxes, scores, label, limits.nms, max(len(boxes), 1))] = True
        return boxes, scores, label, kept
