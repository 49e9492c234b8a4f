"""From a model config to a detector: the one place in this room that knows the config."""

from __future__ import annotations

from torch import nn

from backbones.blocks import BlockOptions
from backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_pretrained
from backbones.resnet import ResNet
from backbones.vgg import VGG16
from detection.config.schema import ModelConfig
from detection.geometry.anchors import AnchorGenerator
from detection.model.assign import Matcher, Sampler
from detection.model.box_head import BoxPredictor, ConvHead, Stage5Head, TwoFCHead, VGGHead
from detection.model.faster_rcnn import FasterRCNN, PixelStatistics
from detection.model.fpn import FeaturePyramid
from detection.model.losses import BoxLoss
from detection.model.proposals import ProposalLimits, ProposalSelector
from detection.model.roi_pool import RoIPooler
from detection.model.roi_stage import RoIStage
from detection.model.rpn import RPN, RPNHead
from detection.model.selection import DetectionLimits

PYRAMID_SIZES = [[32.0], [64.0], [128.0], [256.0], [512.0]]
SINGLE_MAP_SIZES = [[32.0, 64.0, 128.0, 256.0, 512.0]]


def build_model(config: ModelConfig, classes: int, backbone_weights: str | None = None) -> FasterRCNN:
    """The detector of `config` for `classes` classes.

    backbone_weights: torchvision's name of weights, or a file, for the backbone before stages are frozen and handed
    to the head; None leaves the initialisation, as when a checkpoint of the whole detector follows.
    Raises `backbones.pretrained.WeightsError` where they cannot be had or do not fit.
    """
    backbone = build_backbone(config)
    if backbone_weights is not None:
        load_pretrained(backbone, config.backbone, backbone_weights)
    backbone.freeze_stages(frozen_stages(config))
    head, size = _region_head(config, backbone)
    neck = None
    if config.architecture == "fpn":
        neck = FeaturePyramid(backbone.channels, backbone.strides, config.fpn_channels, _head_norm(config))
    strides = neck.strides if neck is not None else backbone.strides[-1:]
    channels = neck.channels if neck is not None else backbone.channels[-1]
    if head is None:
        head = _own_head(config, channels, size)
    return FasterRCNN(
        backbone,
        neck,
        _rpn(config, channels, strides),
        ProposalSelector(config.rpn.nms, config.rpn.min_side),
        _roi_stage(config, head, size, strides[:-1] if neck is not None else strides, classes),
        PixelStatistics(IMAGENET_MEAN, IMAGENET_STD),
        *_proposal_limits(config),
    )


def build_backbone(config: ModelConfig) -> ResNet | VGG16:
    """The body with random weights."""
    norm = config.norm
    if norm == "auto":
        norm = "batch" if config.weights is None else "frozen"
    if config.architecture == "vgg16":
        normed = config.backbone == "vgg16_bn"
        return VGG16(
            config.width, dropout=config.roi.dropout, norm=norm if normed else None, ceil_pool=config.ceil_pool
        )
    plain = config.backbone.startswith("plain")
    options = BlockOptions(norm, config.stride_in_1x1, "none" if plain else "B")
    dilate = config.architecture == "dc5"
    return ResNet(
        config.backbone.replace("plain", "resnet"),
        config.width,
        options,
        dilate,
        rematerialise=config.rematerialise,
        ceil_pool=config.ceil_pool,
    )


def frozen_stages(config: ModelConfig) -> int:
    """Stages frozen: as set, else the first two of a pretrained net."""
    if config.freeze is not None:
        return config.freeze
    return 0 if config.weights is None else 2


def _region_head(config: ModelConfig, backbone: ResNet | VGG16) -> tuple[nn.Module | None, int]:
    """The head that comes from the backbone, if any, and the side of the features it pools."""
    if isinstance(backbone, VGG16):
        return VGGHead(backbone.take_classifier(), backbone.hidden), 7
    if config.architecture == "c4":
        outputs = backbone.channels[-1]
        return Stage5Head(backbone.take_stage5(), outputs), 14  # stage 5 halves the map again: 7 x 7 reach the mean
    return None, 7


def _own_head(config: ModelConfig, channels: int, size: int) -> nn.Module:
    """The head of fpn and dc5, which does not come from the backbone."""
    roi = config.roi
    if roi.convolutions:
        return ConvHead(channels, size, roi.convolutions, roi.hidden, _head_norm(config))
    return TwoFCHead(channels, size, roi.hidden)


def _head_norm(config: ModelConfig) -> str | None:
    return None if config.head_norm == "none" else config.head_norm


def _rpn(config: ModelConfig, channels: int, strides: list[int]) -> RPN:
    sizes = config.anchors.sizes or (PYRAMID_SIZES if config.architecture == "fpn" else SINGLE_MAP_SIZES)
    own, rpn = config.anchors, config.rpn
    anchors = AnchorGenerator(sizes, own.ratios, strides, own.offset, own.rounded, own.classic)
    return RPN(
        RPNHead(channels, anchors.per_cell, rpn.convolutions),
        anchors,
        Matcher(rpn.positive_iou, rpn.negative_iou, best_for_each=True),
        Sampler(rpn.batch_per_image, rpn.positive_fraction),
        BoxLoss(rpn.box_loss, rpn.beta),
        rpn.inside,
    )


def _roi_stage(config: ModelConfig, head: nn.Module, size: int, strides: list[int], classes: int) -> RoIStage:
    roi = config.roi
    return RoIStage(
        RoIPooler(roi.pool, size, strides, roi.sampling_ratio),
        head,
        BoxPredictor(head.outputs * (1 + roi.context), classes, roi.class_agnostic),  # type: ignore[arg-type, operator]
        Matcher(roi.positive_iou, roi.positive_iou, least=roi.background_iou),
        Sampler(roi.batch_per_image, roi.positive_fraction),
        BoxLoss(roi.box_loss, roi.beta),
        DetectionLimits(roi.score, roi.nms, roi.detections),
        roi.append_truth,
        roi.context,
    )


def _proposal_limits(config: ModelConfig) -> tuple[ProposalLimits, ProposalLimits]:
    """Training and test limits; the defaults are detectron2's."""
    rpn, pyramid = config.rpn, config.architecture == "fpn"
    training = ProposalLimits(
        rpn.train_before_nms or (2000 if pyramid else 12000), rpn.train_after_nms or (1000 if pyramid else 2000)
    )
    test = ProposalLimits(rpn.test_before_nms or (1000 if pyramid else 6000), rpn.test_after_nms)
    return training, test
