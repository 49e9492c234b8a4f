"""Faster R-CNN (Ren et al. 2015): backbone, neck, RPN, second stage.

images   (B, 3, H, W) on the 0..255 scale, padded right and bottom
maps     what the RPN sees: P2..P6 of a pyramid, or one map; the second stage sees all but P6
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.resnet import ResNet
from backbones.vgg import VGG16
from detection.model.losses import per_sample
from detection.model.proposals import ProposalLimits, Proposals, ProposalSelector
from detection.model.roi_stage import RoIStage
from detection.model.rpn import RPN, RPNOutput
from detection.records import Batch, Detections

LOSS_NAMES = ("rpn_objectness", "rpn_box", "roi_class", "roi_box")

Backbone = ResNet | VGG16


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation per channel, RGB on the 0..255 scale."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Inference:
    """What both stages say of a batch, before anything is selected. rpn: None where the batch brought its proposals;
    proposals: (P, 4) of each image; logits (R, K + 1) and deltas (R, K or 1, 4) of all of them, one image after the
    other."""

    rpn: RPNOutput | None
    proposals: list[Tensor]
    logits: Tensor
    deltas: Tensor


class FasterRCNN(nn.Module):
    """The detector: losses in training, detections in evaluation.

    `learns` says whose losses they are: of both stages, of the RPN alone, or of the second stage alone (Fast R-CNN). A
    batch that brings proposals has them in place of the RPN's.

    Args:
        backbone: its `feature_maps(x)` gives a list of maps, finest first.
        neck: feature pyramid over them, or None to take the last map alone.
        pixels: what normalises the images.
        training_limits, test_limits: proposals kept in training and in evaluation.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        neck: nn.Module | None,
        rpn: RPN,
        selector: ProposalSelector,
        roi_stage: RoIStage,
        pixels: PixelStatistics,
        training_limits: ProposalLimits,
        test_limits: ProposalLimits,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.has_neck = neck is not None
        self.rpn = rpn
        self.selector = selector
        self.roi_stage = roi_stage
        self.training_limits = training_limits
        self.test_limits = test_limits
        self.prepared = False  # see `detection.predict.prepare`
        self._compiled: Callable[[Tensor], list[Tensor]] | None = None
        self.learns: Literal["both", "rpn", "regions"] = "both"
        self.size_multiple = 32 if neck is not None else 1
        self.register_buffer("pixel_mean", torch.tensor(pixels.mean).view(3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(pixels.std).view(3, 1, 1))

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Detections]:
        """A dict of the four losses in training, a list of `Detections` in original pixels in evaluation."""
        maps = self.maps(batch)
        return self.losses(maps, batch) if self.training else self.detect(maps, batch)

    def normalise(self, batch: Batch) -> Tensor:
        """(B, 3, H, W) network input: normalised, zero where padded, sides multiples of `size_multiple`."""
        x = (batch.images.to(self.pixel_mean.dtype) - self.pixel_mean) / self.pixel_std
        height, width = x.shape[-2:]
        for image, (h, w) in zip(x, batch.sizes):
            image[:, h:] = 0
            image[:, :, w:] = 0
        multiple = self.size_multiple
        return F.pad(x, (0, -width % multiple, 0, -height % multiple))

    def maps(self, batch: Batch) -> list[Tensor]:
        """Feature maps of a batch: P2..P6, or the last map of the backbone."""
        return self.trunk(self.normalise(batch).contiguous(memory_format=torch.channels_last))

    def trunk(self, x: Tensor) -> list[Tensor]:
        """The same of what `normalise` gives."""
        return self._trunk(x) if self._compiled is None else self._compiled(x)

    def compile_trunk(self) -> None:
        """From now on backbone and neck run through `torch.compile`, with sizes that may change; copies of the model do
        not. The first batch then takes a minute, and so do the first square and the first much larger one."""
        self._compiled = torch.compile(self._trunk, dynamic=True)

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled computes with the weights of this very model.
        return {**self.__dict__, "_compiled": None}

    def _trunk(self, x: Tensor) -> list[Tensor]:
        maps = self.backbone.feature_maps(x)
        return [maps[-1]] if self.neck is None else self.neck(maps)

    def losses(self, maps: list[Tensor], batch: Batch) -> dict[str, Tensor]:
        """The four losses, named as in `LOSS_NAMES`. Needs targets."""
        if batch.targets is None:
            raise ValueError("losses need targets, and this batch has none")
        output = self.rpn(maps) if self.learns != "regions" or batch.proposals is None else None
        stages = []
        if output is not None and self.learns != "regions":
            stages.append(self.rpn.losses(output, batch.targets, batch.sizes, batch.seeds))
        if self.learns != "rpn":
            boxes = self._boxes(output, batch, self.training_limits)
            maps = self.region_maps(maps)
            stages.append(self.roi_stage.losses(maps, boxes, batch.sizes, batch.targets, batch.seeds))
        return per_sample(stages, self.training)

    def infer(self, maps: list[Tensor], batch: Batch) -> Inference:
        """What both stages say of every image, by the proposals of testing or those that the batch brings."""
        output = self.rpn(maps) if self.learns != "regions" or batch.proposals is None else None
        boxes = self._boxes(output, batch, self.test_limits)
        return Inference(output, boxes, *self.roi_stage(self.region_maps(maps), boxes, batch.sizes))

    def select(self, found: Inference, batch: Batch) -> list[Detections]:
        """Detections of every image in pixels of its original size."""
        parts = found.logits, found.deltas, found.proposals
        return self.roi_stage.select(*parts, batch.sizes, batch.original_sizes)

    def detect(self, maps: list[Tensor], batch: Batch) -> list[Detections]:
        """The same of feature maps."""
        return self.select(self.infer(maps, batch), batch)

    def validation_losses(self, found: Inference, batch: Batch) -> dict[str, Tensor]:
        """The four losses of what was inferred, so that they cost little beside detections: the regions are sampled
        among the proposals of testing. Needs targets."""
        if batch.targets is None:
            raise ValueError("losses need targets, and this batch has none")
        sums = []
        if found.rpn is not None and self.learns != "regions":
            sums.append(self.rpn.losses(found.rpn, batch.targets, batch.sizes, batch.seeds))
        if self.learns != "rpn":
            parts = found.logits, found.deltas, found.proposals
            sums.append(self.roi_stage.losses_of(*parts, batch.targets, batch.seeds))
        return per_sample(sums, training=False)

    def propose(self, output: RPNOutput, batch: Batch, limits: ProposalLimits) -> list[Proposals]:
        """Proposals of every image in pixels of the network's input."""
        return self.selector(output.logits, output.deltas, output.anchors, batch.sizes, limits)

    def _boxes(self, output: RPNOutput | None, batch: Batch, limits: ProposalLimits) -> list[Tensor]:
        """The proposals that the batch brings, else the RPN's."""
        if batch.proposals is not None:
            return batch.proposals
        assert output is not None
        return [p.boxes for p in self.propose(output, batch, limits)]

    def region_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Of the maps, those that the second stage sees."""
        return maps[:-1] if self.has_neck else maps
