"""Regions of one image seen several times: at many scales, mirrored, by many models.

frame    size (height, width) of the pixels in which regions and boxes travel: the first model's input
regions  (R, 4) in the frame, on the host: which scale and which map serves each is decided there, and no pass waits
pass     one model on one orientation of the image
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detection.geometry.boxes import area, rescale
from detection.geometry.suppression import suppress
from detection.model.roi_pool import CANONICAL_SIZE
from detection.model.roi_stage import RoIStage
from detection.predict.detector import Detector, to_sample
from detection.records import Batch, Size, collate
from detection.transfer import on_host, to_device

UNION_NMS = 0.7
"""IoU of the suppression among the proposals of several models: the RPN's own."""


@dataclass(frozen=True)
class View:
    """The image at one scale. batch: of this one image; maps: as the model's `maps` gives them."""

    batch: Batch
    maps: list[Tensor]

    @property
    def size(self) -> Size:
        return self.batch.sizes[0]


@dataclass(frozen=True)
class Pass:
    """Views of one orientation by one model, short side rising."""

    detector: Detector
    views: list[View]
    mirrored: bool


def look(detector: Detector, image: np.ndarray, short_side: int, mirrored: bool = False) -> View:
    """The (H, W, 3) uint8 RGB image at `short_side` pixels."""
    sized = detector.at(short_side)
    sample = to_sample(image, sized.short_side, sized.long_side)
    batch = collate([sample], detector.model.size_multiple)
    if mirrored:  # the picture, not the canvas, whose padding stays at the right
        width = sample.image.shape[2]
        batch.images[..., :width] = batch.images[..., :width].flip(-1)
    batch = batch.to(detector.device)
    return View(batch, detector.model.maps(batch))


def passes_of(detector: Detector, image: np.ndarray, plain: View, scales: Sequence[int], flip: bool) -> list[Pass]:
    """What the second stage of one model looks at.

    plain: the view of the model's own test scale, used again where it is asked for; scales: short sides, none for the
    model's own.
    """
    sides = sorted(set(scales)) or [detector.short_side]
    views = [plain if side == detector.short_side else look(detector, image, side) for side in sides]
    passes = [Pass(detector, views, mirrored=False)]
    if flip:
        passes.append(Pass(detector, [look(detector, image, side, mirrored=True) for side in sides], mirrored=True))
    return passes


def propose(detectors: Sequence[Detector], plain: Sequence[View], frame: Size, cut: bool = False) -> Tensor:
    """(R, 4) proposals of all models in the frame, best first; among several models one suppresses another's.

    cut: keep at most as many as the first model alone, by score, which no two models measure alike. On the host.
    """
    boxes, logits = [], []
    for detector, view in zip(detectors, plain):
        model = detector.model
        found = model.propose(model.rpn(view.maps), view.batch, model.test_limits)[0]
        boxes.append(rescale(found.boxes, view.size, frame))
        logits.append(found.logits)
    union, scores = on_host(torch.cat(boxes), torch.cat(logits))
    if len(boxes) == 1:
        return union
    together = torch.zeros(len(union), dtype=torch.int64)
    most = detectors[0].model.test_limits.after if cut else len(union)
    return union[suppress(union, scores, together, UNION_NMS, most)]


def score(passes: Sequence[Pass], regions: Tensor, frame: Size) -> tuple[Tensor, Tensor]:
    """Boxes (R, K or 1, 4) in the frame and scores (R, K) of the regions: means over the passes."""
    answers = [_score_once(one, regions, frame) for one in passes]
    boxes, scores = answers[0]
    for more_boxes, more_scores in answers[1:]:
        boxes, scores = boxes + more_boxes, scores + more_scores  # one shared column broadcasts against many
    return boxes / len(answers), scores / len(answers)


def _score_once(one: Pass, regions: Tensor, frame: Size) -> tuple[Tensor, Tensor]:
    seen = mirror(regions, frame[1]) if one.mirrored else regions
    stage = one.detector.model.roi_stage
    boxes, scores = stage.read(_merged_feature(one, stage, seen, frame), to_device(seen, one.detector.device))
    return mirror(boxes, frame[1]) if one.mirrored else boxes, scores


def _merged_feature(one: Pass, stage: RoIStage, regions: Tensor, frame: Size) -> Tensor:
    """(R, F): the larger of each region's features at its two scales, element by element (maxout: Ren et al. 2015b,
    "Object detection networks on convolutional feature maps")."""
    chosen = two_scales(regions, frame, [view.size for view in one.views])
    device, length = one.detector.device, stage.predictor.scores.in_features
    merged = torch.full((len(regions), length), -torch.inf, device=device)
    for view, takes in zip(one.views, chosen.unbind(1)):
        rows = takes.nonzero().squeeze(1)
        at_scale = rescale(regions[rows], frame, view.size)
        feature = stage.features(one.detector.model.region_maps(view.maps), [at_scale], [view.size])
        rows = to_device(rows, device)
        merged[rows] = torch.maximum(merged[rows], feature)
    return merged


def two_scales(regions: Tensor, frame: Size, sizes: Sequence[Size]) -> Tensor:
    """(R, S) bool, two an image size in each row: where the region's area is closest to 224 x 224 pixels (He et al.
    2014, SPP-net, section 4.1), and the better of the neighbours of that one. `sizes` rise; of one size there is one.
    """
    ratios = [height * width / (frame[0] * frame[1]) for height, width in sizes]
    distance = torch.stack([(area(regions) * ratio - CANONICAL_SIZE**2).abs() for ratio in ratios], 1)  # (R, S)
    best = distance.argmin(1, keepdim=True) + 1  # a column beyond each end, below, gives the outer scales neighbours
    fenced = torch.nn.functional.pad(distance, (1, 1), value=torch.inf)
    below, above = fenced.gather(1, best - 1), fenced.gather(1, best + 1)
    second = torch.where(below < above, best - 1, best + 1)
    chosen = torch.zeros_like(fenced, dtype=torch.bool)
    return chosen.scatter(1, best, True).scatter(1, second, True)[:, 1:-1]


def mirror(boxes: Tensor, width: float) -> Tensor:
    """Boxes (..., 4) of an image `width` pixels wide in the mirrored image."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)
