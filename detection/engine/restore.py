"""From a checkpoint to something that detects."""

from __future__ import annotations

from pathlib import Path

import torch

from detection import checkpoint
from detection.config.read import from_dict
from detection.config.schema import Config
from detection.model.build import build_model
from detection.predict.detector import Detector


def load_detector(path: Path, device: torch.device) -> tuple[Detector, Config]:
    """The detector of a `best.pt` or `last.pt` with its configuration. Raises `InputError` where it cannot be one."""
    content = checkpoint.load(path)
    config = from_dict(content["config"], path)
    model = build_model(config.model, len(content["classes"]))
    checkpoint.load_weights(model, content["model"], path)
    model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    sides = config.input
    return Detector(model, tuple(content["classes"]), sides.test_short_side, sides.long_side, device), config
