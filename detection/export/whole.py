"""A whole detector as one function of raw images, in operators that a graph can hold.

images      (B, H, W, 3) or (B, 3, H, W) uint8 RGB, of any size, all of one size
thresholds  (K,) float32: from which score on there is a detection of each class
boxes       (D, 4) float32 x1 y1 x2 y2 in pixels of the images; scores (D,) float32; labels (D,), image (D,) int64: of
            all images, image by image, best first

It finds what `detection.predict.detector.Detector` finds. What differs is the form: nothing is a list of images, since
every image has as many places for proposals and detections as it may have, and empty places are marked by their score.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from detection.export.operators import PadBelow, RegionFeatures, Suppression, count_to, strongest
from detection.export.resizing import resize
from detection.model.roi_pool import pyramid_level
from detection.model.roi_stage import ROI_CODER
from detection.predict.detector import Detector
from detection.predict.prepare import prepare

LOW = -1e30
"""Logit of a place without a proposal."""
OUTPUTS = ("boxes", "scores", "labels", "image")


class WholeDetector(nn.Module):
    """The detector from pixels to detections. nchw: how images lie; half: backbone, neck and heads compute in float16,
    all else in float32."""

    def __init__(self, detector: Detector, nchw: bool = False, half: bool = False) -> None:
        super().__init__()
        model = copy.deepcopy(prepare(detector.model))
        self.trunk, self.neck = model, model.has_neck
        self.head = copy.deepcopy(detector.model.roi_stage.head).eval()
        self.half_precision = half
        if half:
            for module in (model.backbone, model.neck, model.rpn.head, self.head, model.roi_stage.predictor):
                if module is not None:
                    module.half()
        self.predictor = model.roi_stage.predictor
        self.context, self.pooler = model.roi_stage.context, model.roi_stage.pooler
        self.limits, self.proposals = model.roi_stage.limits, model.test_limits
        self.selector, self.anchors = model.selector, model.rpn.anchors
        self.short_side, self.long_side, self.nchw = detector.short_side, detector.long_side, nchw

    def forward(self, images: Tensor, thresholds: Tensor) -> tuple[Tensor, ...]:
        planes = images if self.nchw else images.permute(0, 3, 1, 2)
        x, size, original = self._canvas(planes)
        maps = self._wide(self.trunk.trunk(self._narrow(x)))
        limits = torch.stack([size[1], size[0], size[1], size[0]]).float()  # of x1 y1 x2 y2
        boxes, there = self._propose(maps, limits)
        scores, found = self._classify(maps, boxes, there, limits)
        ratio = original.float() / size.float()
        scale = torch.stack([ratio[1], ratio[0], ratio[1], ratio[0]])
        edges = torch.stack([original[1], original[0], original[1], original[0]]).float()
        return self._select(scores, found, thresholds, scale, edges)

    def _canvas(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network sees of (B, 3, H, W) bytes, the size of the picture in it and that of the bytes: (2,) int64
        height and width."""
        original = torch._shape_as_tensor(planes)[2:]
        size = self._size(original)
        x = self._normalised(resize(planes, size))
        return PadBelow.apply(x, torch.remainder(-size, self.trunk.size_multiple)), size, original

    def _normalised(self, x: Tensor) -> Tensor:
        return (x - self.trunk.pixel_mean) / self.trunk.pixel_std

    def _narrow(self, x: Tensor) -> Tensor:
        return x.half() if self.half_precision else x

    def _wide(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [x.float() for x in tensors] if self.half_precision else list(tensors)

    def _size(self, original: Tensor) -> Tensor:
        """`resize_size` of (H, W) int64."""
        sides = original.double()
        wanted = sides * (self.short_side / sides.amin(0, keepdim=True))
        wanted = wanted * torch.clamp(self.long_side / wanted.amax(0, keepdim=True), max=1.0)
        return torch.floor(wanted + 0.5).clamp(min=1.0).long()

    def _propose(self, maps: list[Tensor], limits: Tensor) -> tuple[Tensor, Tensor]:
        """Proposals of each image, best first, in P places: boxes (B, P, 4), and whether a place is taken (B, P)."""
        logits, deltas = map(self._wide, self.trunk.rpn.head([self._narrow(x) for x in maps]))
        boxes, scores, levels = [], [], []
        for level, (x, logit, delta) in enumerate(zip(maps, logits, deltas)):
            top, rows = self._strongest(logit, self.proposals.before)
            anchors = self._anchors(level, x)[rows]
            boxes.append(self.selector.coder.decode(delta.gather(1, rows[..., None].expand(-1, -1, 4)), anchors))
            scores.append(top)
            levels.append(torch.full_like(rows[0], level))
        box, score, level_of = clipped(torch.cat(boxes, 1), limits), torch.cat(scores, 1), torch.cat(levels)
        sides = box[..., 2:] - box[..., :2]
        score = torch.where((sides > self.selector.min_side).all(-1), score, LOW)
        own = level_of[None] == torch.arange(len(maps))[:, None]  # (L, N)
        alone = torch.where(own, score[:, None], LOW)
        kept = self._survivors(box, alone, self.selector.nms, LOW / 2, self.proposals.after)
        best, rows = self._strongest(torch.where(kept, score, LOW), self.proposals.after)
        return box.gather(1, rows[..., None].expand(-1, -1, 4)), best > LOW / 2

    def _strongest(self, scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
        return strongest(scores, most)

    def _survivors(self, boxes: Tensor, scores: Tensor, threshold: float, least: float, most: int) -> Tensor:
        """(G, N) bool: which of boxes (G, N, 4) suppression keeps in any of the C runs of scores (G, C, N) that are
        above `least`. Of each run only the first `most` matter."""
        kept = Suppression.apply(boxes, scores, threshold, least, most)
        ones = (kept[:, 0] >= 0).float()
        return torch.zeros_like(scores[:, 0]).index_put((kept[:, 0], kept[:, 2]), ones) > 0

    def _sides(self, x: Tensor) -> tuple[Any, Any]:
        """Height and width of (B, C, H, W)."""
        shape = torch._shape_as_tensor(x)[2:]
        return shape[0], shape[1]

    def _anchors(self, level: int, x: Tensor) -> Tensor:
        """(H*W*A, 4), as `AnchorGenerator` has them."""
        stride, sides = self.anchors.strides[level], self._sides(x)
        ys, xs = ((count_to(side) + self.anchors.offset).float() * stride for side in sides)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        shifts = torch.stack([x, y, x, y], -1)
        return (shifts[:, :, None] + getattr(self.anchors, f"cells{level}")).reshape(-1, 4)

    def _classify(self, maps: list[Tensor], boxes: Tensor, there: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """scores (B, K, P), -1 in empty places, and boxes (B, K or 1, P, 4)."""
        images, places = boxes.shape[0], boxes.shape[1]
        number = torch.arange(images)[:, None].expand(images, places).reshape(-1)
        regions = boxes.reshape(-1, 4)
        feature = self.head(self._narrow(self._pooled(maps, regions, number)))
        if self.context:
            whole = torch.cat([torch.zeros(2), limits[2:]]).expand(images, 4)
            around = self.head(self._narrow(self._pooled(maps, whole, torch.arange(images))))
            feature = torch.cat([feature, around[number]], 1)
        logits, deltas = self._wide(self.predictor(feature))
        scores = logits.softmax(1)[:, :-1].reshape(images, places, -1).permute(0, 2, 1)
        found = clipped(ROI_CODER.decode(deltas, regions[:, None]), limits)  # (R, K or 1, 4)
        found = found.reshape(images, places, -1, 4).permute(0, 2, 1, 3)
        sides = found[..., 2:] - found[..., :2]
        return torch.where(there[:, None] & (sides > 0).all(-1), scores, -1.0), found

    def _pooled(self, maps: list[Tensor], boxes: Tensor, image: Tensor) -> Tensor:
        maps = maps[:-1] if self.neck else maps
        if len(maps) == 1:
            return self._from_level(0, maps[0], boxes, image)
        return self._from_levels(maps, boxes, image, pyramid_level(boxes, 2, 1 + len(maps)))

    def _from_levels(self, maps: list[Tensor], boxes: Tensor, image: Tensor, level: Tensor) -> Tensor:
        rows = [(level == k).nonzero().squeeze(1) for k in range(len(maps))]
        parts = [self._from_level(k, x, boxes[own], image[own]) for k, (x, own) in enumerate(zip(maps, rows))]
        order = torch.cat(rows)
        places = torch.zeros_like(order).index_put((order,), torch.arange(order.shape[0]))
        return torch.cat(parts)[places]

    def _from_level(self, level: int, x: Tensor, boxes: Tensor, image: Tensor) -> Tensor:
        pooler = self.pooler
        how = pooler.kind, pooler.size, pooler.strides[level], pooler.sampling_ratio
        return self._region_features(x, boxes, image, *how)

    def _region_features(self, *given: Any) -> Tensor:
        return RegionFeatures.apply(*given)

    def _select(
        self, scores: Tensor, boxes: Tensor, thresholds: Tensor, scale: Tensor, edges: Tensor
    ) -> tuple[Tensor, ...]:
        """The detections of all images, in pixels of these."""
        images, classes, places = scores.shape[0], scores.shape[1], scores.shape[2]
        boxes = boxes.expand(images, classes, places, 4)  # classes may share theirs
        scores = torch.where(scores > thresholds.amin(), scores, -1.0)
        alone = scores.reshape(-1, 1, places)  # each class of each image is a group
        kept = self._survivors(boxes.reshape(-1, places, 4), alone, self.limits.nms, -0.5, self.limits.count)
        score = torch.where(kept.reshape(images, -1), scores.reshape(images, -1), -1.0)
        best, rows = self._strongest(score, self.limits.count)
        labels = torch.div(rows, places, rounding_mode="trunc")
        found = boxes.reshape(images, -1, 4).gather(1, rows[..., None].expand(-1, -1, 4))
        return self._listed(found, best, labels, thresholds, scale, edges)

    def _listed(
        self, found: Tensor, best: Tensor, labels: Tensor, thresholds: Tensor, scale: Tensor, edges: Tensor
    ) -> tuple[Tensor, ...]:
        """The outputs, of boxes (B, D, 4) in pixels of the network's input, scores and labels (B, D)."""
        image, place = (best > thresholds[labels]).nonzero(as_tuple=True)
        return clipped(found[image, place] * scale, edges), best[image, place], labels[image, place], image


def clipped(boxes: Tensor, limits: Tensor) -> Tensor:
    """Boxes (..., 4) cut at 0 and at `limits` (4,)."""
    return torch.minimum(boxes.clamp(min=0.0), limits)
