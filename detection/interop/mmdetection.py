"""Weights of mmdetection's Faster R-CNN with a ResNet-FPN backbone, by key."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from detection.interop.detectron2 import ZOO_MEAN, ZOO_STD

RENAMED = (
    (r"^backbone\.", "backbone."),
    (r"^neck\.lateral_convs\.(\d+)\.conv\.", r"neck.lateral.\1."),
    (r"^neck\.fpn_convs\.([0-3])\.conv\.", r"neck.output.\1."),
    (r"^rpn_head\.rpn_conv\.", "rpn.head.conv."),
    (r"^rpn_head\.rpn_cls\.", "rpn.head.objectness."),
    (r"^rpn_head\.rpn_reg\.", "rpn.head.deltas."),
    (r"^roi_head\.bbox_head\.shared_fcs\.0\.", "roi_stage.head.fc6."),
    (r"^roi_head\.bbox_head\.shared_fcs\.1\.", "roi_stage.head.fc7."),
    (r"^roi_head\.bbox_head\.fc_cls\.", "roi_stage.predictor.scores."),
    (r"^roi_head\.bbox_head\.fc_reg\.", "roi_stage.predictor.deltas."),
)


def from_mmdetection(state: dict[str, Tensor], caffe: bool = False) -> dict[str, Tensor]:
    """The state dict of mmdetection's detector under this toolkit's keys, for images in RGB.

    caffe: whether its backbone came from Caffe: such nets see BGR, less the mean alone, and halve maps in the first
    1x1. Raises `ValueError` for a key that has no counterpart.
    """
    converted = {}
    for key, value in state.items():
        if key.endswith("num_batches_tracked") or key.startswith("data_preprocessor."):
            continue
        name = next((re.sub(old, new, key) for old, new in RENAMED if re.match(old, key)), None)
        if name is None:
            raise ValueError(f"{key}: not a key of mmdetection's Faster R-CNN with a ResNet and an FPN of four levels")
        converted[name] = value
    if caffe:
        converted["backbone.conv1.weight"] = converted["backbone.conv1.weight"].flip(1)
        converted["pixel_mean"] = torch.tensor(ZOO_MEAN[::-1]).view(3, 1, 1)
        converted["pixel_std"] = torch.tensor(ZOO_STD).view(3, 1, 1)
    return converted
