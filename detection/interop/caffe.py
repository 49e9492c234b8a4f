"""py-faster-rcnn's trained VGG-16 detectors (`VGG16_faster_rcnn_final.caffemodel`) under this toolkit's keys.

Its RPN scores background and object by a softmax of two: the logit here is their difference. Its anchors go through
the ratios first, ours through the sizes; its classes begin with the background, ours end with it; its boxes of regions
are learned divided by deviations that its snapshots multiply back in, ours are divided in the coder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbones.caffe_file import read_layers
from backbones.caffe_names import vgg_state
from detection.model.roi_stage import ROI_CODER

MEAN = (102.9801, 115.9465, 122.7717)
"""Blue, green, red; detectors keep it as their own, so that nothing differs at the image's edge either."""

SIZES, RATIOS = [[128.0, 256.0, 512.0]], [0.5, 1.0, 2.0]
COCO_SIZES = [[64.0, 128.0, 256.0, 512.0]]
"""Of its detectors for PASCAL VOC, 9 anchors, and for COCO, 12."""

SETTINGS: dict[str, Any] = {
    "model.architecture": "vgg16",
    "model.backbone": "vgg16",
    "model.ceil_pool": True,
    "model.anchors.ratios": RATIOS,
    "model.anchors.offset": 0.5,
    "model.anchors.classic": True,
    "model.rpn.inside": True,
    "model.rpn.min_side": 16.0,
    "model.rpn.test_after_nms": 300,
    "model.rpn.beta": 1 / 9,
    "model.roi.pool": "pool",
    "model.roi.nms": 0.3,
    "model.roi.beta": 1.0,
    "input.test_short_side": 600,
    "input.train_short_sides": [600],
    "input.long_side": 1000,
}
"""As its config has them."""

VOC_NAMES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)


def read_py_faster_rcnn(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """State and dotted settings of the detector in a .caffemodel, None where the net has no RPN. Raises ValueError for
    one that is cut off, or no VGG-16."""
    layers = read_layers(path)
    if "rpn_cls_score" not in layers:
        return None
    mean, std = torch.tensor(MEAN).flip(0), torch.ones(3)
    body = vgg_state(layers, mean, std, MEAN)
    lacking = [name for name in ("rpn_conv/3x3", "rpn_bbox_pred", "cls_score", "bbox_pred") if name not in layers]
    if lacking:
        raise ValueError(f"its layer {lacking[0]} is missing")
    anchors = len(layers["rpn_cls_score"][0]) // 2
    sizes = {9: SIZES, 12: COCO_SIZES}.get(anchors)
    if sizes is None:
        raise ValueError(f"its RPN has {anchors} anchors a cell; those of py-faster-rcnn have 9 or 12")
    state = {f"backbone.{key}": value for key, value in body.items() if key.startswith("features.")}
    for key in (key for key in body if key.startswith(("classifier.0.", "classifier.3."))):
        state[f"roi_stage.head.{key}"] = body[key]
    state |= _rpn(layers, len(sizes[0]))
    state |= _predictor(layers)
    state |= {"pixel_mean": mean.view(3, 1, 1), "pixel_std": std.view(3, 1, 1)}
    width = len(state["backbone.features.0.bias"])
    return state, {**SETTINGS, "model.anchors.sizes": sizes, "model.width": width}


def _rpn(layers: dict[str, list[Tensor]], sizes: int) -> dict[str, Tensor]:
    # Place of each of our anchors among theirs.
    order = torch.arange(len(RATIOS) * sizes).reshape(len(RATIOS), sizes).T.flatten()
    conv, scores, deltas = (layers[name] for name in ("rpn_conv/3x3", "rpn_cls_score", "rpn_bbox_pred"))
    state = {"rpn.head.conv.weight": conv[0], "rpn.head.conv.bias": conv[1].flatten()}
    for part, score, delta in zip(("weight", "bias"), scores, deltas):
        score, delta = (score, delta) if part == "weight" else (score.flatten(), delta.flatten())
        background, present = score.chunk(2)
        state[f"rpn.head.objectness.{part}"] = (present - background)[order]
        state[f"rpn.head.deltas.{part}"] = delta.unflatten(0, (-1, 4))[order].flatten(0, 1)
    return state


def _predictor(layers: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    scores, deltas = layers["cls_score"], layers["bbox_pred"]
    scale = torch.tensor(ROI_CODER.weights).repeat(scores[1].numel() - 1)
    state = {}
    for part, score, delta in zip(("weight", "bias"), scores, deltas):
        shape = (-1, score.shape[-1]) if part == "weight" else (-1,)
        score, delta = score.reshape(shape), delta.reshape(shape)[4:]
        state[f"roi_stage.predictor.scores.{part}"] = torch.cat([score[1:], score[:1]])
        state[f"roi_stage.predictor.deltas.{part}"] = delta * (scale[:, None] if part == "weight" else scale)
    return state
