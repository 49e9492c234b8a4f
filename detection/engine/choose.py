"""Settings for data that nobody wrote a config for: what a practitioner would pick by looking at it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detection.config.schema import ModelConfig
from detection.data.index import AnnotationIndex
from detection.engine.anchors import USUAL_RATIOS, Anchors, best_fit, recall, usual_anchors
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
    index: AnnotationIndex,
    hardware: Hardware,
    has_val: bool,
    short_side: int | None = None,
    model: ModelConfig | None = None,
) -> list[Choice]:
    """Model, input size, anchors and schedule for fine-tuning on `index`.

    short_side: test size in pixels where the user gives one; the rest follows it. model: its architecture is the
    user's, and so are anchors that are not the defaults. The choices aim at a good detector in
    an evening: about 30 minutes to an hour on a CPU, less on a GPU. Batch and rate grow with the processes (the linear
    rule of Goyal et al. 2017), so that each has as many images as one alone.
    """
    model = model or ModelConfig()
    gpu, processes = hardware.gpu, hardware.processes
    each = max(min(8 if gpu else 2, len(index) // processes), 1)
    batch = each * processes
    images = max(12 * len(index), 16000) if gpu else int(np.clip(12 * len(index), 1200, 4000))
    iterations = max(images // batch, 1)
    evaluations = max(iterations // 10, len(index) // batch, 1)
    rate = (0.01 if gpu else 0.005) * processes
    shared = f", {each} for each of {processes} processes" if processes > 1 else ""
    backbone = Choice("model.backbone", "resnet50" if gpu else "resnet18", f"fits a {'GPU' if gpu else 'CPU'}")
    choices = [
        *([backbone] if model.architecture != "vgg16" else []),
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
    sides = choose_sides(index, gpu, short_side)
    return choices + _input_size(index, sides) + _anchors(index, sides, model)


def choose_sides(index: AnnotationIndex, gpu: bool, given: int | None = None) -> tuple[int, int]:
    """(shorter, longer) side of the test images in pixels; given: the shorter, where the user sets it."""
    native = float(np.median(index.sizes.min(axis=1)))
    least, most = (480, 800) if gpu else (256, 480)
    usual = np.clip(native, least, 640 if gpu else 320)
    wanted = native * SMALLEST_OBJECT / _small_object(index, native)
    short = given or -(-int(np.clip(max(usual, wanted), least, most)) // 32) * 32
    return short, short * 5 // 3


def choose_anchors(index: AnnotationIndex, sides: tuple[int, int], model: ModelConfig | None = None) -> Anchors:
    """The anchors that meet most boxes in images of these sides; never fewer than a config's defaults do there.

    model: its architecture, and anchors as far as they are set: sizes, and ratios other than the defaults, stay.
    """
    model = model or ModelConfig()
    given = model.anchors
    usual = replace(
        usual_anchors(model.architecture, *sides), ratios=given.ratios, offset=given.offset, rounded=given.rounded
    )
    if given.sizes is not None:
        return replace(usual, sizes=given.sizes)
    return best_fit(index, usual, keep_ratios=given.ratios != USUAL_RATIOS)


def _small_object(index: AnnotationIndex, native: float) -> float:
    """Side of the smaller objects (the 10th percentile), pixels of their images."""
    sides = np.sqrt(np.maximum(index.xywh[:, 2] * index.xywh[:, 3], 0))
    return float(np.quantile(sides[sides > 0], 0.1)) if (sides > 0).any() else native / 4


def _input_size(index: AnnotationIndex, sides: tuple[int, int]) -> list[Choice]:
    short, native = sides[0], float(np.median(index.sizes.min(axis=1)))
    scaled = _small_object(index, native) * short / native
    return [
        Choice(
            "input.train_short_sides",
            [max(int(short * f) // 32 * 32, 32) for f in (0.8, 0.9, 1.0)],
            "pixels, one a batch",
        ),
        Choice("input.test_short_side", short, f"images are {native:.0f}; small objects become {scaled:.0f} pixels"),
        Choice("input.long_side", sides[1], "pixels"),
    ]


def _anchors(index: AnnotationIndex, sides: tuple[int, int], model: ModelConfig) -> list[Choice]:
    if model.anchors.sizes is not None:
        return []
    anchors, usual = choose_anchors(index, sides, model), usual_anchors(model.architecture, *sides)
    reason = f"overlap {_shares(recall(index, anchors))} of the boxes by IoU .5 and .7"
    if (anchors.sizes, anchors.ratios) == (usual.sizes, usual.ratios):
        reason += "; nothing fitted to them does clearly better than these, the defaults"
    else:
        reason += f", the defaults {_shares(recall(index, usual))}"
    fitted = [Choice("model.anchors.ratios", anchors.ratios, "height to width, as the boxes have it")]
    return [
        Choice("model.anchors.sizes", anchors.sizes, reason),
        *(fitted if anchors.ratios != model.anchors.ratios else []),
    ]


def _shares(met: dict[float, float]) -> str:
    return " and ".join(f"{100 * share:.1f} %" for share in met.values())
