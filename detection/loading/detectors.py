"""From a checkpoint, ours or another library's, to a detector or to what one begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.nets import NetName
from detection import checkpoint
from detection.config.pretrain import PretrainConfig
from detection.config.read import flat, from_dict, to_dict
from detection.config.schema import Config
from detection.errors import InputError
from detection.interop.foreign import read_foreign
from detection.model.build import build_model
from detection.predict.detector import Detector


def load_detector(path: Path, device: torch.device) -> tuple[Detector, Config]:
    """The detector of a `best.pt` or `last.pt` with its configuration. Raises `InputError` where it cannot be one."""
    content = checkpoint.load(path, "detection")
    config = from_dict(content["config"], path, Config)
    model = build_model(config.model, len(content["classes"]))
    checkpoint.load_weights(model, content["model"], path)
    model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    sides = config.input
    size = sides.test_short_side, sides.long_side
    kept = content.get("thresholds")
    thresholds = None if kept is None else tuple(float(value) for value in kept)
    return Detector(model, tuple(content["classes"]), *size, device, sides.grey_bits, thresholds), config


def trained_images(path: Path) -> np.ndarray:
    """(N,) int64: what the images are known by that the checkpoint at `path` was trained on."""
    return checkpoint.load(path, "detection")["trained_on"].numpy()


@dataclass(frozen=True)
class StartingDetector:
    """A detector to begin from. state: its weights; settings: dotted model settings that these need, but for weights,
    norm and freezing; classes: names in label order, None where nobody says."""

    state: dict[str, Tensor]
    settings: dict[str, Any]
    classes: tuple[str, ...] | None


def starting_detector(path: Path) -> StartingDetector | None:
    """The detector at `path`: a checkpoint of ours, or weights of torchvision's or detectron2's. None for plain
    backbone weights. Raises `InputError` for a detector of theirs that this toolkit has no counterpart for."""
    try:
        content = checkpoint.load(path, "detection")
    except InputError:
        found = read_foreign(path)
        return None if found is None else StartingDetector(found.state, found.settings, found.classes)
    settings = flat({"model": to_dict(from_dict(content["config"], path, Config))["model"]})
    kept = {k: v for k, v in settings.items() if k not in ("model.weights", "model.norm", "model.freeze")}
    return StartingDetector(content["model"], kept, tuple(content["classes"]))


def bottleneck_stride(path: Path) -> bool | None:
    """`stride_in_1x1` of the classifier whose checkpoint lies at `path`; None where its blocks have no 1x1, and for
    weights that do not say."""
    try:
        net = from_dict(checkpoint.load(path, "classification")["config"], path, PretrainConfig).net
    except InputError:
        return None
    parsed = NetName.parse(net.name)
    return None if parsed.cifar or parsed.vgg or parsed.depth < 50 else net.stride_in_1x1


def model_settings(path: Path) -> dict[str, Any]:
    """Dotted model settings to fine-tune what lies at `path` with: a detector's own, but for weights, norm and
    freezing; of a classifier, where its bottlenecks have their stride, which the shapes of its weights do not tell.

    Empty where `path` holds plain backbone weights, which fit models of many settings.
    """
    found = starting_detector(path)
    if found is None:
        stride = bottleneck_stride(path)
        return {} if stride is None else {"model.stride_in_1x1": stride}
    return found.settings
