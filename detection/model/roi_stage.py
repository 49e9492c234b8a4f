"""The second stage: classify the proposals and refine their boxes (Fast R-CNN, sections 2.1 to 2.3).

proposals  per image (P, 4)
logits     (R, K + 1), background last
deltas     (R, K or 1, 4)
feature    (R, F) of the head, or (R, 2F) with the feature of the whole image behind each region's
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.geometry.box_coder import BoxCoder
from detection.geometry.boxes import clip
from detection.model.assign import IGNORED, POSITIVE, Matcher, Sampler, generators, goal_boxes
from detection.model.box_head import BoxPredictor
from detection.model.losses import BoxLoss, LossSums
from detection.model.roi_pool import RoIPooler
from detection.model.selection import DetectionLimits, fetch, strongest, to_detections, within
from detection.records import Detections, Size, Target
from detection.transfer import on_host

ROI_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


@dataclass(frozen=True)
class Regions:
    """Sampled regions of one image: rows (R,) of the candidates, boxes (R, 4), labels (R,) with K for background, goals
    (R, 4): the ground truth boxes, meaningful where the label is a class; positives: how many, before all others;
    unjudged: classes that were not annotated in the image, of which a region of background may be one."""

    rows: Tensor
    boxes: Tensor
    labels: Tensor
    goals: Tensor
    positives: int
    unjudged: Tensor | None = None


class RoIStage(nn.Module):
    """Pool, head, predictor; the sampling and losses of training; the selection of detections.

    context: the whole image is a region too, and its feature stands beside that of every other region (He et al. 2015,
    appendix B); `predictor` then takes twice as many inputs.
    """

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
        context: bool = False,
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
        self.context = context
        self.classes = predictor.scores.out_features - 1

    def forward(self, maps: list[Tensor], boxes: list[Tensor], sizes: list[Size]) -> tuple[Tensor, Tensor]:
        """(logits, deltas) of the boxes of all images, one after the other; sizes: of the images, without padding."""
        return self.predictor(self.features(maps, boxes, sizes))

    def features(self, maps: list[Tensor], boxes: list[Tensor], sizes: list[Size]) -> Tensor:
        """What the predictor takes: the feature of every box, and beside it, with context, that of its image."""
        if not self.context:
            return self.head(self.pooler(maps, boxes))
        whole = [clip(F.pad(b.new_full((1, 2), torch.inf), (2, 0)), size) for b, size in zip(boxes, sizes)]
        feature = self.head(self.pooler(maps, [torch.cat(pair) for pair in zip(boxes, whole)]))
        images = feature.split([len(b) + 1 for b in boxes])
        return torch.cat([torch.cat([own[:-1], own[-1:].expand(len(own) - 1, -1)], 1) for own in images])

    def read(self, feature: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (R, K or 1, 4), not clipped, in the pixels of the regions `references` (R, 4), and scores (R, K)."""
        logits, deltas = self.predictor(feature)
        return ROI_CODER.decode(deltas, references[:, None]), logits.float().softmax(1)[:, :-1]

    @torch.no_grad()
    def sample(
        self, proposals: list[Tensor], targets: list[Target], seeds: list[int] | None = None, append_truth: bool = False
    ) -> list[Regions]:
        """Regions among the proposals, and the ground truth itself where it is to be appended."""
        candidates, taken, counts = [], [], []
        device = self.predictor.scores.weight.device
        for boxes, target, random in zip(proposals, targets, generators(seeds, len(targets), device)):
            if append_truth:
                boxes = torch.cat([boxes, target.boxes])
            labels, matched = self.matcher(boxes, target)
            rows, sampled = self.sampler(labels, random)
            candidates.append(boxes)
            taken.append((rows, matched[rows]))
            counts += [(sampled == POSITIVE).sum(), (sampled != IGNORED).sum()]
        numbers = on_host(torch.stack(counts))[0].view(-1, 2).tolist()  # the one thing asked of the device
        regions = []
        for boxes, target, (rows, matched), (positives, count) in zip(candidates, targets, taken, numbers):
            rows, matched = rows[:count], matched[:count]
            classes = torch.full_like(rows, self.classes)
            if positives:
                classes[:positives] = target.labels[matched[:positives]]
            regions.append(Regions(rows, boxes[rows], classes, goal_boxes(target, matched), positives, target.unjudged))
        return regions

    def losses(
        self,
        maps: list[Tensor],
        proposals: list[Tensor],
        sizes: list[Size],
        targets: list[Target],
        seeds: list[int] | None = None,
    ) -> LossSums:
        """`roi_class` and `roi_box`, both summed over the regions sampled in the batch."""
        regions = self.sample(proposals, targets, seeds, self.append_truth)
        logits, deltas = self(maps, [r.boxes for r in regions], sizes)
        return self._sums(logits, deltas, regions)

    def losses_of(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: list[Tensor],
        targets: list[Target],
        seeds: list[int] | None = None,
    ) -> LossSums:
        """The same of predictions for all proposals, among which the regions are sampled; nothing is computed again."""
        regions = self.sample(proposals, targets, seeds)
        starts = [sum(len(boxes) for boxes in proposals[:i]) for i in range(len(proposals))]
        rows = torch.cat([r.rows + start for r, start in zip(regions, starts)])
        return self._sums(logits[rows], deltas[rows], regions)

    def _sums(self, logits: Tensor, deltas: Tensor, regions: list[Regions]) -> LossSums:
        """The losses of predictions for the regions, image by image."""
        labels = torch.cat([r.labels for r in regions])
        classification = _class_loss(logits.float(), labels, regions)
        parts = deltas.split([len(r.boxes) for r in regions])
        positive = torch.cat([part[: r.positives] for part, r in zip(parts, regions)])
        classes = torch.cat([r.labels[: r.positives] for r in regions])
        column = classes.clamp(max=deltas.shape[1] - 1)  # one shared column where classes share their deltas
        own = positive.gather(1, column[:, None, None].expand(-1, 1, 4)).squeeze(1)
        references = torch.cat([r.boxes[: r.positives] for r in regions])
        goals = torch.cat([r.goals[: r.positives] for r in regions])
        box_sum = self.box_loss(own, references, goals, ROI_CODER)
        count = torch.full((), len(labels), device=labels.device)
        return LossSums({"roi_class": classification, "roi_box": box_sum}, count)

    @torch.no_grad()
    def select(
        self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size], original_sizes: list[Size]
    ) -> list[Detections]:
        """The detections, on the host, among the predictions for all proposals. Boxes are decoded only where a class
        scores."""
        scores, references = logits.float().softmax(1)[:, :-1], torch.cat(proposals)
        last = deltas.shape[1] - 1  # one column where classes share their boxes

        def decode(row: Tensor, label: Tensor) -> Tensor:
            return ROI_CODER.decode(deltas[row, label.clamp(max=last)], references[row])

        found, row = fetch(scores, self.limits.score, decode)
        ends = torch.tensor([len(p) for p in proposals]).cumsum(0)
        counts = torch.bucketize(row, ends, right=True).bincount(minlength=len(proposals)).tolist()
        detections = []
        for some, size, original in zip(torch.arange(len(row)).split(counts), sizes, original_sizes):
            inside = within(found.take(some), size)
            detections.append(to_detections(strongest(inside, self.limits.nms, self.limits.count), size, original))
        return detections


def _class_loss(logits: Tensor, labels: Tensor, regions: list[Regions]) -> Tensor:
    """Cross entropy summed over all regions. In an image of which some classes were not annotated, a region without an
    object is background or one of these, whichever: -log of the sum of their probabilities."""
    if all(r.unjudged is None for r in regions):
        return F.cross_entropy(logits, labels, reduction="sum")
    each = F.cross_entropy(logits, labels, reduction="none").split([len(r.labels) for r in regions])
    parts = logits.split([len(r.labels) for r in regions])
    total = logits.new_zeros(())
    for loss, own, r in zip(each, parts, regions):
        if r.unjudged is None:
            total = total + loss.sum()
            continue
        rest = own[r.positives :]
        possible = torch.cat([rest[:, r.unjudged], rest[:, -1:]], 1)
        total = total + loss[: r.positives].sum() + (rest.logsumexp(1) - possible.logsumexp(1)).sum()
    return total
