"""Settings for data that nobody wrote a config for: what a practitioner would pick by looking at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.engine.hardware import Hardware

SMALLEST_OBJECT = 16.0
"""Input sizes are raised until the smaller objects (the 10th percentile) have this many pixels a side."""

METRIC_LIMIT = 100
"""Detections an image that a detector gives by default, and that COCO's metric counts."""

AMP_REASONS = {
    "bf16": "fastest on this GPU",
    "fp16": "fastest on this GPU, which is older than bf16",
    "off": "full precision on this device",
}


@dataclass(frozen=True)
class Choice:
    """key: dotted name of a setting; value; reason: why, in a few words."""

    key: str
    value: Any
    reason: str


def choose_settings(
    index: AnnotationIndex, hardware: Hardware, has_val: bool, short_side: int | None = None
) -> list[Choice]:
    """Model, input size, anchors and schedule for fine-tuning on `index`.

    short_side: test size in pixels where the user gives one; the rest follows it. The choices aim at a good detector in
    an evening: about 30 minutes to an hour on a CPU, less on a GPU. Batch and rate grow with the processes (the linear
    rule of Goyal et al. 2017), so that each has as many images as one alone.
    """
    gpu, processes = hardware.gpu, hardware.processes
    each = max(min(8 if gpu else 2, len(index) // processes), 1)
    batch = each * processes
    images = max(12 * len(index), 16000) if gpu else int(np.clip(12 * len(index), 1200, 4000))
    iterations = max(images // batch, 1)
    evaluations = max(iterations // 10, len(index) // batch, 1)
    rate = (0.01 if gpu else 0.005) * processes
    shared = f", {each} for each of {processes} processes" if processes > 1 else ""
    choices = [
        Choice("model.backbone", "resnet50" if gpu else "resnet18", f"fits a {'GPU' if gpu else 'CPU'}"),
        Choice("train.batch", batch, f"images an iteration{shared}"),
        Choice("train.iterations", iterations, f"{iterations * batch / len(index):.1f} epochs of {len(index)} images"),
        Choice("train.lr", rate, f"for batches of {batch}"),
        Choice("train.schedule", "cosine", "no steps to tune"),
        Choice("train.warmup", min(500, iterations // 4), "iterations"),
        Choice("train.clip", 10.0, "guards against a bad batch"),
        Choice("train.evaluate_every", min(evaluations, iterations), "iterations"),
        Choice("train.amp", hardware.half, AMP_REASONS[hardware.half]),
        Choice("dataset.invalid", "skip", "flawed images and boxes are left out and counted"),
    ]
    most = int(np.diff(index.offsets).max())
    if most > METRIC_LIMIT:
        room = -(-most * 5 // 4 // 50) * 50
        choices.append(Choice("model.roi.detections", room, f"an image; there are images of {most} objects"))
    if gpu:
        choices.append(Choice("train.tf32", True, "what stays in float32 is multiplied faster, at 10 bits"))
    if not has_val:
        choices.append(Choice("dataset.val_fraction", 0.2, "no validation split: a seeded part is held out"))
    return choices + _input_size(index, gpu, short_side)


def _input_size(index: AnnotationIndex, gpu: bool, given: int | None) -> list[Choice]:
    native = float(np.median(index.sizes.min(axis=1)))
    sides = np.sqrt(np.maximum(index.xywh[:, 2] * index.xywh[:, 3], 0))
    small = float(np.quantile(sides[sides > 0], 0.1)) if (sides > 0).any() else native / 4
    least, most = (480, 800) if gpu else (256, 480)
    usual = np.clip(native, least, 640 if gpu else 320)
    wanted = native * SMALLEST_OBJECT / small
    short = given or int(np.clip(max(usual, wanted), least, most)) // 32 * 32
    scaled = small * short / native
    base = next((a for a in (32.0, 16.0) if a <= scaled), 8.0)
    return [
        Choice(
            "input.train_short_sides",
            [max(int(short * f) // 32 * 32, 32) for f in (0.8, 0.9, 1.0)],
            "pixels, one a batch",
        ),
        Choice("input.test_short_side", short, f"images are {native:.0f}; small objects become {scaled:.0f} pixels"),
        Choice("input.long_side", short * 5 // 3, "pixels"),
        Choice("model.anchors.sizes", [[base * 2**i] for i in range(5)], "from the size of the small objects"),
    ]
