"""detectron2's weights under this toolkit's keys; `zoo_pickle.py` reads its files.

Most zoo models see BGR; here every model sees RGB, so the first convolution and the pixel statistics are turned round.
"""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from detection.errors import InputError

ZOO_MEAN = (103.53, 116.28, 123.675)
ZOO_STD = (1.0, 1.0, 1.0)
"""Pixel statistics of detectron2's base config, blue first; its Caffe weights have the deviation in their stem."""

RENAMED = (
    (r"^backbone\.fpn_lateral(\d)\.", lambda m: f"neck.lateral.{int(m[1]) - 2}."),
    (r"^backbone\.fpn_output(\d)\.", lambda m: f"neck.output.{int(m[1]) - 2}."),
    (r"^backbone\.(?:bottom_up\.)?stem\.", "backbone."),
    (r"^backbone\.(?:bottom_up\.)?res(\d)\.", lambda m: f"backbone.layer{int(m[1]) - 1}."),
    (r"^proposal_generator\.rpn_head\.conv\.", "rpn.head.conv."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn.head.objectness."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.head.deltas."),
    (r"^roi_heads\.res5\.", "roi_stage.head.stage5."),
    (r"^roi_heads\.box_head\.fc1\.", "roi_stage.head.fc6."),
    (r"^roi_heads\.box_head\.fc2\.", "roi_stage.head.fc7."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_stage.predictor.scores."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_stage.predictor.deltas."),
)

RENAMED_IN_BLOCKS = (
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
    (r"\.conv(\d)\.norm\.", r".bn\1."),
)

CONSTANTS = re.compile(r"^(pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\..*)$")
"""What old files carry besides weights."""


def key_of(name: str) -> str:
    """This toolkit's state-dict key of detectron2's parameter or buffer `name`.

    Raises InputError for a name that is none of a Faster R-CNN with a ResNet (FPN, C4 or DC5).
    """
    for old, new in RENAMED:
        if re.match(old, name):
            key = re.sub(old, new, name)
            for inner, to in RENAMED_IN_BLOCKS:
                key = re.sub(inner, to, key)
            return key
    raise InputError(f"{name}: not a weight of detectron2's Faster R-CNN; use a faster_rcnn_R_*_FPN, C4 or DC5 model")


def from_detectron2(
    weights: dict[str, np.ndarray],
    order: Literal["BGR", "RGB"] = "BGR",
    mean: tuple[float, float, float] = ZOO_MEAN,
    std: tuple[float, float, float] = ZOO_STD,
) -> dict[str, Tensor]:
    """The state dict of a detectron2 Faster R-CNN under this toolkit's keys, for images in RGB.

    order: `INPUT.FORMAT` of its config; mean, std: `MODEL.PIXEL_MEAN` and `MODEL.PIXEL_STD`, in that order of channels.
    The result fits `build_model` with the settings of that config: `stride_in_1x1` for most of the zoo. Raises
    ValueError for another order, and InputError for a name that has no counterpart.
    """
    if order not in ("BGR", "RGB"):
        raise ValueError(f"order {order!r} is unknown; known are BGR, RGB")
    state = {
        key_of(name): torch.from_numpy(np.array(value)) for name, value in weights.items() if not CONSTANTS.match(name)
    }
    # Files from Caffe2 hold norms already folded into a scale and a shift; detectron2 reads them with these statistics.
    for key in [k for k in state if re.search(r"(bn\d|downsample\.1)\.weight$", k)]:
        stem = key.removesuffix("weight")
        state.setdefault(f"{stem}running_mean", torch.zeros_like(state[key]))
        state.setdefault(f"{stem}running_var", torch.ones_like(state[key]))
    state["pixel_mean"] = torch.tensor(mean).view(3, 1, 1)
    state["pixel_std"] = torch.tensor(std).view(3, 1, 1)
    if order == "BGR":
        for key in ("backbone.conv1.weight", "pixel_mean", "pixel_std"):
            if key in state:
                state[key] = state[key].flip(0 if key.startswith("pixel") else 1)
    return state
