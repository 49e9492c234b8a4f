"""The second stage: classify the proposals and refine their boxes (Fast R-CNN, sections 2.1 to 2.3).

proposals  per image (P, 4)
logits     (R, K + 1), background last
deltas     (R, K or 1, 4)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.geometry.box_coder import BoxCoder
from detection.geometry.boxes import clip, larger_than, rescale
from detection.geometry.suppression import suppress
from detection.model.assign import Matcher, Sampler
from detection.model.box_head import BoxPredictor
from detection.model.losses import BoxLoss
from detection.model.roi_pool import RoIPooler
from detection.model.rpn import goal_boxes
from detection.records import Detections, Size, Target

ROI_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


@dataclass(frozen=True)
class DetectionLimits:
    """What becomes a detection: score above `score`, suppression per class at IoU `nms`, `count` an image at most."""

    score: float = 0.05
    nms: float = 0.5
    count: int = 100


@dataclass(frozen=True)
class Regions:
    """Sampled regions of one image: boxes (R, 4), labels (R,) with K for background, goals (R, 4): the ground truth
    boxes, meaningful where the label is a class."""

    boxes: Tensor
    labels: Tensor
    goals: Tensor


class RoIStage(nn.Module):
    """Pool, head, predictor; the sampling and losses of training; the selection of detections."""

    def __init__(
        self,
        pooler: RoIPooler,
        head: nn.Module,
        predictor: BoxPredictor,
        matcher: Matcher,
        sampler: Sampler,
        box_loss: BoxLoss,
        limits: DetectionLimits,
        append_truth: bool = True,
    ) -> None:
        super().__init__()
        self.pooler = pooler
        self.head = head
        self.predictor = predictor
        self.matcher = matcher
        self.sampler = sampler
        self.box_loss = box_loss
        self.limits = limits
        self.append_truth = append_truth
        self.classes = predictor.scores.out_features - 1

    def forward(self, maps: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(logits, deltas) of the boxes of all images, one after the other."""
        return self.predictor(self.head(self.pooler(maps, boxes)))

    @torch.no_grad()
    def sample(self, proposals: list[Tensor], targets: list[Target]) -> list[Regions]:
        """Regions to train on; the ground truth itself is among the candidates, unless told otherwise."""
        regions = []
        for boxes, target in zip(proposals, targets):
            if self.append_truth:
                boxes = torch.cat([boxes, target.boxes])
            labels, matched = self.matcher(boxes, target)
            positive, negative = self.sampler(labels)
            rows = torch.cat([positive, negative])
            classes = torch.full_like(rows, self.classes)
            if len(positive):
                classes[: len(positive)] = target.labels[matched[positive]]
            regions.append(Regions(boxes[rows], classes, goal_boxes(target, matched[rows])))
        return regions

    def losses(self, maps: list[Tensor], proposals: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """`roi_class` and `roi_box`, both over the number of regions sampled in the batch."""
        regions = self.sample(proposals, targets)
        logits, deltas = self(maps, [r.boxes for r in regions])
        labels = torch.cat([r.labels for r in regions])
        count = max(len(labels), 1)
        classification = F.cross_entropy(logits.float(), labels, reduction="sum") / count
        positive = (labels < self.classes).nonzero().squeeze(1)
        column = labels[positive].clamp(max=deltas.shape[1] - 1)  # one shared column where classes share their deltas
        references = torch.cat([r.boxes for r in regions])[positive]
        goals = torch.cat([r.goals for r in regions])[positive]
        box_sum = self.box_loss(deltas[positive, column], references, goals, ROI_CODER)
        return {"roi_class": classification, "roi_box": box_sum / count}

    @torch.no_grad()
    def detect(
        self, maps: list[Tensor], proposals: list[Tensor], sizes: list[Size], original_sizes: list[Size]
    ) -> list[Detections]:
        """Detections of each image in pixels of its original size."""
        logits, deltas = self(maps, proposals)
        scores = logits.float().softmax(1)[:, :-1]
        boxes = ROI_CODER.decode(deltas, torch.cat(proposals)[:, None])  # (R, K or 1, 4)
        counts = [len(p) for p in proposals]
        return [self._select(*image) for image in zip(boxes.split(counts), scores.split(counts), sizes, original_sizes)]

    def _select(self, boxes: Tensor, scores: Tensor, size: Size, original: Size) -> Detections:
        row, label = (scores > self.limits.score).nonzero(as_tuple=True)
        found = clip(boxes[row, label.clamp(max=boxes.shape[1] - 1)], size)
        score = scores[row, label]
        whole = larger_than(found, 0.0)
        found, score, label = found[whole], score[whole], label[whole]
        keep = suppress(found, score, label, self.limits.nms, self.limits.count)
        in_original = clip(rescale(found[keep], size, original), original)
        return Detections(in_original, score[keep], label[keep], original)
