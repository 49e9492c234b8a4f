"""From a checkpoint to something that detects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from detection import checkpoint
from detection.config.read import from_dict, to_dict
from detection.config.schema import Config
from detection.errors import InputError
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
    return Detector(model, tuple(content["classes"]), sides.test_short_side, sides.long_side, device), config


def detector_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint at `path` where it is a detector's of ours; None for plain backbone weights."""
    try:
        return checkpoint.load(path, "detection")
    except InputError:
        return None


def model_settings(path: Path) -> dict[str, Any]:
    """Dotted model settings to fine-tune the detector at `path` with: its own, but for weights, norm and freezing.

    Empty where `path` holds plain backbone weights, which fit models of many settings.
    """
    content = detector_checkpoint(path)
    if content is None:
        return {}
    settings = _flat("model", to_dict(from_dict(content["config"], path, Config))["model"])
    return {k: v for k, v in settings.items() if k not in ("model.weights", "model.norm", "model.freeze")}


def _flat(prefix: str, tree: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(f"{prefix}.{key}", value) if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return flat
