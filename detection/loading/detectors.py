"""From a checkpoint, ours or another library's, to a detector or to what one begins with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.caffe_file import ENDING as CAFFE
from backbones.caffe_names import is_vgg
from backbones.nets import NetName
from detection import checkpoint
from detection.config.pretrain import PretrainConfig
from detection.config.read import flat, from_dict, nested, to_dict
from detection.config.schema import Config
from detection.config.training import evaluated_often
from detection.errors import InputError
from detection.interop.foreign import ForeignDetector, read_foreign
from detection.model.build import build_model
from detection.predict.detector import Detector

STATISTICS = ("pixel_mean", "pixel_std")
"""Buffers of ImageNet's statistics, which torchvision's detectors normalise by and do not store."""


def load_detector(path: Path, device: torch.device) -> tuple[Detector, Config]:
    """The detector of a `best.pt` or `last.pt`, or of a file of torchvision's or detectron2's, with its configuration.
    Raises `InputError` where it cannot be one."""
    content = _content(path)
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
    """(N,) int64: what the images are known by that the checkpoint at `path` was trained on; none where nobody says."""
    return _content(path)["trained_on"].numpy()


def _content(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, or what one of ours would hold of another library's detector."""
    try:
        return _own_content(path)
    except InputError:
        found = read_foreign(path) if path.is_file() else None
        if found is None:
            raise
    # The path stands for its weights: it says that norms are frozen. A config must have a length, here of no training.
    settings = {**found.settings, "model.weights": str(path), "train.iterations": 1}
    config = from_dict(nested(settings), path, Config)
    classes = _named(found)
    own = build_model(config.model, len(classes)).state_dict()
    unsaid = {k: v for k, v in own.items() if k not in found.state and k.endswith((checkpoint.COUNTER, *STATISTICS))}
    return {
        "config": to_dict(config),
        "classes": classes,
        "trained_on": torch.zeros(0, dtype=torch.int64),
        "model": {**found.state, **unsaid},
    }


def _own_content(path: Path) -> dict[str, Any]:
    """See `checkpoint.load`; torch is not asked for a pickle of detectron2's, at which it would wonder aloud."""
    if path.suffix in (".pkl", CAFFE) and path.is_file():
        raise InputError(f"{path}: not a checkpoint that `frcnn train` wrote; give its best.pt or last.pt")
    return checkpoint.load(path, "detection")


def _named(found: ForeignDetector) -> list[str]:
    """A name for each class, no two alike: those that the file's number of classes tells, else numbers from 1, as
    torchvision's labels have."""
    count = len(found.state["roi_stage.predictor.scores.bias"]) - 1
    names = found.classes or tuple(f"class {number}" for number in range(1, count + 1))
    return [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1)]


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
        content = _own_content(path)
    except InputError:
        found = read_foreign(path)
        if found is None:
            return None
        model = {name: value for name, value in found.settings.items() if name.startswith("model.")}
        return StartingDetector(found.state, model, found.classes)
    settings = flat({"model": to_dict(from_dict(content["config"], path, Config))["model"]})
    kept = {k: v for k, v in settings.items() if k not in ("model.weights", "model.norm", "model.freeze")}
    return StartingDetector(content["model"], kept, tuple(content["classes"]))


def classifier_settings(path: Path) -> dict[str, Any]:
    """Dotted model settings of the classifier at `path`, a checkpoint or a net of Caffe's, that the shapes of its
    weights do not tell: where its bottlenecks have their stride, how it pools. Empty for weights that do not say."""
    if path.suffix == CAFFE:
        return {"model.ceil_pool": True, **({} if is_vgg(path) else {"model.stride_in_1x1": True})}
    try:
        net = from_dict(checkpoint.load(path, "classification")["config"], path, PretrainConfig).net
    except InputError:
        return {}
    parsed = NetName.parse(net.name)
    if parsed.cifar or parsed.preact:
        return {}
    bottlenecks = not parsed.vgg and parsed.depth >= 50
    stride = {"model.stride_in_1x1": net.stride_in_1x1} if bottlenecks else {}
    return {**stride, **({} if parsed.vgg else {"model.ceil_pool": net.ceil_pool})}


def model_settings(path: Path) -> dict[str, Any]:
    """Dotted model settings to fine-tune what lies at `path` with: a detector's own, but for weights, norm and
    freezing; of a classifier, what the shapes of its weights do not tell: where its bottlenecks have their stride, and
    that Caffe's nets pool as Caffe does.

    Empty where `path` holds plain backbone weights, which fit models of many settings.
    """
    found = starting_detector(path)
    return classifier_settings(path) if found is None else found.settings


def selection_notes(path: Path, trained: Config, data: str | None, split: str) -> list[str]:
    """A line where the best weights of a run are tested on the split that chose them, else none. trained: the run's
    config; data: what they are tested on, None for the data of the run."""
    same = data is None or os.path.realpath(data) == os.path.realpath(str(trained.data))
    if path.name != "best.pt" or not same or split != trained.dataset.val or not evaluated_often(trained.train):
        return []
    return [
        f"note: {path} is what scored best on {split} while it trained, so its AP there is a little too good; "
        "a split that decided nothing tells what to expect"
    ]
