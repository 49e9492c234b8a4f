"""Detectors that torchvision, detectron2, mmdetection and py-faster-rcnn trained: weights, settings, class names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from backbones.caffe_file import ENDING as CAFFE
from backbones.pretrained import WeightsError, load_plain, read_state
from detection.errors import InputError
from detection.interop.caffe import VOC_NAMES, read_py_faster_rcnn
from detection.interop.detectron2 import from_detectron2
from detection.interop.mmdetection import from_mmdetection
from detection.interop.torchvision import from_torchvision
from detection.interop.zoo_pickle import read_zoo_pickle

DEPTHS = {(True, 2): 18, (True, 6): 34, (False, 6): 50, (False, 23): 101, (False, 36): 152}
"""Whether blocks are basic, and how many there are in conv4_x -> the ResNet."""

TORCHVISION = {
    "model.anchors.rounded": True,
    "model.rpn.min_side": 1e-3,
    "model.rpn.beta": 1 / 9,
    "model.roi.pool": "align_legacy",
    "model.roi.sampling_ratio": 2,
    "model.roi.beta": 1 / 9,
    "model.stride_in_1x1": False,
}
"""What its constructor sets and its weights do not show."""


@dataclass(frozen=True)
class ForeignDetector:
    """state: under this toolkit's keys; settings: dotted settings that it was trained with, as far as its weights and
    its maker tell, of the model and perhaps of its input; classes: names in label order, None where nobody says."""

    state: dict[str, Tensor]
    settings: dict[str, Any]
    classes: tuple[str, ...] | None


def read_foreign(path: Path) -> ForeignDetector | None:
    """The detector in a file of torchvision's, detectron2's, mmdetection's or py-faster-rcnn's, else None.

    Raises `InputError` for a detector of theirs that this toolkit has no counterpart for.
    """
    if path.suffix == CAFFE:
        return _caffe(path)
    if path.suffix == ".pkl":
        arrays = read_zoo_pickle(path)
        return _detectron2(arrays, path) if _any(arrays, "proposal_generator.") else None
    try:
        state = read_state(path)
    except (WeightsError, ValueError, OSError):
        return _renamed_pickle(path)
    if _any(state, "proposal_generator."):
        return _detectron2({key: value.numpy() for key, value in state.items()}, path)
    if _any(state, "rpn_head.rpn_") and _any(state, "roi_head."):
        return _mmdetection(state, path)
    return _torchvision(state, path) if _any(state, "rpn.head.") and _any(state, "roi_heads.") else None


def _caffe(path: Path) -> ForeignDetector | None:
    try:
        found = read_py_faster_rcnn(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: {error}; give a VGG-16 that py-faster-rcnn trained") from error
    if found is None:
        return None
    state, settings = found
    voc = tuple(VOC_NAMES.split())
    count = len(state["roi_stage.predictor.scores.bias"]) - 1
    return ForeignDetector(state, settings, voc if count == len(voc) else _coco_names(state, 80))


def _renamed_pickle(path: Path) -> ForeignDetector | None:
    """A model of detectron2's zoo under another ending, as an export keeps it."""
    try:
        arrays = read_zoo_pickle(path)
    except InputError:
        return None
    return _detectron2(arrays, path) if _any(arrays, "proposal_generator.") else None


def _any(state: dict[str, Any], beginning: str) -> bool:
    return any(key.startswith(beginning) for key in state)


def _torchvision(state: dict[str, Tensor], path: Path) -> ForeignDetector:
    if _any(state, "roi_heads.mask_") or _any(state, "roi_heads.keypoint_"):
        raise InputError(
            f"{path}: is torchvision's Mask or Keypoint R-CNN; give the weights of a fasterrcnn_resnet50_fpn or _v2"
        )
    if _any(state, "backbone.body.0."):
        raise InputError(
            f"{path}: is torchvision's Faster R-CNN with a MobileNet, which is not read; give one with a ResNet"
        )
    try:
        converted = from_torchvision(state)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return ForeignDetector(converted, {**_settings(converted, path), **TORCHVISION}, _coco_names(converted, 90))


def _mmdetection(state: dict[str, Tensor], path: Path) -> ForeignDetector:
    """What the file tells beside its weights, where it does: the text of its config, and class names."""
    content = load_plain(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    caffe = "caffe" in str(meta.get("cfg") or meta.get("config") or "")
    described = meta.get("dataset_meta")
    names = (described if isinstance(described, dict) else {}).get("classes") or meta.get("CLASSES")
    try:
        converted = from_mmdetection(state, caffe)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    settings = _settings(converted, path)
    count = len(converted["roi_stage.predictor.scores.bias"]) - 1
    if not isinstance(names, (list, tuple)) or len(names) != count or any(not isinstance(each, str) for each in names):
        names = _coco_names(converted, 80)
    shallow = settings["model.backbone"] in ("resnet18", "resnet34")
    return ForeignDetector(
        converted, {**settings, "model.stride_in_1x1": caffe and not shallow}, None if names is None else tuple(names)
    )


def _detectron2(arrays: dict[str, np.ndarray], path: Path) -> ForeignDetector:
    converted = from_detectron2(arrays)
    # The zoo's ResNets are those of the paper's authors, trained in Caffe, unless their names say torchvision.
    settings = {**_settings(converted, path), "model.stride_in_1x1": True}
    return ForeignDetector(converted, settings, _coco_names(converted, 80))


def _settings(state: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """What the shapes of weights under our keys say of the model."""
    blocks = {int(m[1]) for key in state if (m := re.match(r"backbone\.layer3\.(\d+)\.", key))}
    basic = not any(re.match(r"backbone\.layer3\.0\.conv3\.", key) for key in state)
    depth = DEPTHS.get((basic, len(blocks)))
    middle = state.get("backbone.layer3.0.conv2.weight")
    if depth is None or middle is None or (not basic and middle.shape[0] != middle.shape[1]):
        raise InputError(f"{path}: its backbone is no ResNet-18, 34, 50, 101 or 152; other backbones cannot be loaded")
    normed = "neck.output.0.0.weight" in state
    neck = state.get("neck.output.0.0.weight" if normed else "neck.output.0.weight")
    fc = state.get("roi_stage.head.fc6.weight")
    architecture = "fpn" if neck is not None else "dc5" if fc is not None else "c4"
    deltas = state["roi_stage.predictor.deltas.bias"]
    return {
        "model.architecture": architecture,
        "model.backbone": f"resnet{depth}",
        "model.width": len(state["backbone.conv1.weight"]),
        "model.head_norm": "batch" if normed else "none",
        "model.rpn.convolutions": 1 + _count(state, r"rpn\.head\.deeper\.(\d+)\.weight"),
        "model.roi.convolutions": _count(state, r"roi_stage\.head\.convolutions\.(\d+)\.0\.weight"),
        **({"model.fpn_channels": len(neck)} if neck is not None else {}),
        **({"model.roi.hidden": len(fc)} if fc is not None else {}),
        "model.roi.class_agnostic": len(deltas) == 4 != 4 * (len(state["roi_stage.predictor.scores.bias"]) - 1),
    }


def _count(state: dict[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in state)


def _coco_names(state: dict[str, Tensor], count: int) -> tuple[str, ...] | None:
    """COCO's names where the detector has that many classes: 90 with the gaps of its numbers, 80 without."""
    if len(state["roi_stage.predictor.scores.bias"]) - 1 != count:
        return None
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:]
    return tuple(names if count == 90 else (name for name in names if name != "N/A"))
