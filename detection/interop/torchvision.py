"""Weights of torchvision's `FasterRCNN` with a ResNet-FPN backbone, by key: of both versions, the second of which has
batch norms in the pyramid and the box head, and more convolutions.

torchvision puts the background first among the classes and gives it deltas too; here it comes last and has none.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

RENAMED = (
    (r"^backbone\.body\.", "backbone."),
    (r"^backbone\.fpn\.inner_blocks\.(\d+)\.", r"neck.lateral.\1."),
    (r"^backbone\.fpn\.layer_blocks\.(\d+)\.", r"neck.output.\1."),
    (r"^rpn\.head\.conv\.0\.0\.", "rpn.head.conv."),
    (r"^rpn\.head\.conv\.(\d+)\.0\.", lambda m: f"rpn.head.deeper.{int(m[1]) - 1}."),
    (r"^rpn\.head\.cls_logits\.", "rpn.head.objectness."),
    (r"^rpn\.head\.bbox_pred\.", "rpn.head.deltas."),
    (r"^roi_heads\.box_head\.(\d+)\.([01])\.", r"roi_stage.head.convolutions.\1.\2."),
    (r"^roi_heads\.box_head\.\d+\.(weight|bias)$", r"roi_stage.head.fc6.\1"),
    (r"^roi_heads\.box_head\.", "roi_stage.head."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_stage.predictor.scores."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_stage.predictor.deltas."),
)


def from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of torchvision's detector under this toolkit's keys, with the background moved.

    Serves parameters and, just as well, their gradients. Raises `ValueError` for a key that has no counterpart.
    """
    converted = {}
    normed = any(key.startswith("backbone.fpn.inner_blocks.0.1.") for key in state)
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        name = next((re.sub(old, new, key) for old, new in RENAMED if re.match(old, key)), None)
        if name is None:
            raise ValueError(f"{key}: not a key of torchvision's Faster R-CNN with a ResNet-FPN backbone")
        if name.startswith("neck.") and not normed:
            name = re.sub(r"\.0\.(weight|bias)$", r".\1", name)
        if name.startswith("roi_stage.predictor.scores."):
            value = torch.cat([value[1:], value[:1]])
        elif name.startswith("roi_stage.predictor.deltas."):
            value = value[4:]
        converted[name] = value
    return converted
