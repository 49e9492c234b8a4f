"""Settings for data that nobody wrote a config for: what a practitioner would pick by looking at it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from detection.automatic.anchors import USUAL_RATIOS, Anchors, best_fit, recall, usual_anchors
from detection.config.command_line import training_sides
from detection.config.origin import Setting
from detection.config.schema import Config, InputConfig, ModelConfig
from detection.config.training import TrainConfig
from detection.counted import counted
from detection.data.index import AnnotationIndex
from detection.engine.hardware import Hardware

SMALLEST_OBJECT = 16.0
"""Input sizes are raised until the smaller objects (the 10th percentile) have this many pixels a side."""

METRIC_LIMIT = 100
"""Detections an image that a detector gives by default, and that COCO's metric counts."""

CPU_REGIONS = 128
"""Regions that the second stage learns from in an image, as in the Fast R-CNN paper: its layers are most of a step on a
CPU, where the 512 of a config take 1.7 times as long (`tools/choices.py`, BCCD at 160 pixels)."""
REGIONS_REASON = "regions of each image that are learned from; more cost a CPU time and hardly raise AP"

ADAMW_RATE = 1e-4
"""Learning rate of AdamW for batches of 16, as in DETR's and ViTDet's recipes; it follows the root of the batch."""

AMP_REASONS = {
    "bf16": "fastest on this GPU",
    "fp16": "fastest on this GPU, which is older than bf16",
    "off": "full precision on this device",
}


def choose_settings(
    index: AnnotationIndex,
    hardware: Hardware,
    has_val: bool,
    draft: Config | None = None,
    given: Collection[str] = (),
) -> list[Setting]:
    """Model, input size, anchors and schedule for fine-tuning on `index`, for all that is not given.

    draft: the config as far as it is given; given: the dotted keys of which this is true. What is chosen fits what is
    given: the learning rate the batch, the sizes each other, the anchors the architecture. The choices aim at a good
    detector in an evening: about 30 minutes to an hour on a CPU, less on a GPU.
    """
    draft = draft or Config()
    sides = choose_sides(index, hardware.gpu, draft.input, given)
    found = [
        *_network(draft.model, hardware.gpu, given),
        *([] if hardware.gpu else [_chosen("model.roi.batch_per_image", CPU_REGIONS, REGIONS_REASON)]),
        *_schedule(len(index), hardware, draft.train, given),
        _chosen("train.amp", hardware.half, AMP_REASONS[hardware.half]),
        _chosen("dataset.invalid", "skip", "flawed images and boxes are left out and counted"),
    ]
    most = int(np.diff(index.offsets).max())
    if most > METRIC_LIMIT:
        room = -(-most * 5 // 4 // 50) * 50
        found.append(_chosen("model.roi.detections", room, f"per image; some images have {counted(most, 'object')}"))
    if hardware.gpu:
        found.append(_chosen("train.tf32", True, "float32 products are faster, with 10 bits of mantissa"))
    if not has_val:
        found.append(_chosen("dataset.val_fraction", 0.2, "no validation split: a seeded part is held out"))
    found += _input_size(index, sides, draft.input, given)
    model = draft.model
    for each in found:
        if each.key == "model.architecture":
            model = replace(model, architecture=each.value)
    if "model.anchors.sizes" not in given:
        found += _anchors(index, sides, model)
    return [each for each in found if each.key not in given]


def _chosen(key: str, value: Any, why: str) -> Setting:
    return Setting(key, value, "chosen", why)


def _network(model: ModelConfig, gpu: bool, given: Collection[str]) -> list[Setting]:
    """A backbone for the architecture, or an architecture for the backbone."""
    if "model.backbone" in given:
        if model.backbone.startswith("vgg16"):
            return [_chosen("model.architecture", "vgg16", f"the one that goes with {model.backbone}")]
        return []
    if model.architecture == "vgg16":
        return [_chosen("model.backbone", "vgg16", "the one of the Faster R-CNN paper")]
    return [_chosen("model.backbone", "resnet50" if gpu else "resnet18", f"fits a {'GPU' if gpu else 'CPU'}")]


def _schedule(images: int, hardware: Hardware, train: TrainConfig, given: Collection[str]) -> list[Setting]:
    """Batch, length and learning rate. Both grow with the processes, so that each has as many images as one alone, and
    the rate with the batch (the linear rule of Goyal et al. 2017)."""
    gpu, processes = hardware.gpu, hardware.processes
    usual = 8 if gpu else 2
    shares = processes * train.accumulate
    each = max(min(usual, images // shares), 1)
    batch, rate = each * shares, (0.01 if gpu else 0.005) * shares
    shared = f", {each} for each of {processes} processes" if processes > 1 else ""
    if "train.batch" in given:
        batch, rate = train.batch, (0.01 if gpu else 0.005) * train.batch / usual
    adamw = train.optimizer == "adamw"
    if adamw:
        rate = ADAMW_RATE * (batch / 16) ** 0.5
    seen = max(12 * images, 16000) if gpu else int(np.clip(12 * images, 1200, 4000))
    iterations = max(seen // batch, 1)
    length = [
        _chosen(
            "train.iterations", iterations, f"{iterations * batch / images:.1f} epochs of {counted(images, 'image')}"
        )
    ]
    if train.iterations is not None or train.epochs is not None or train.time is not None:
        length = []
    if train.iterations is not None or train.epochs is not None:
        iterations = train.iterations or max(round(float(train.epochs or 0) * images / batch), 1)
    timed = train.time is not None
    evaluations = max(iterations // 10, images // batch, 1)
    return [
        _chosen("train.batch", batch, f"images per iteration{shared}"),
        *length,
        _chosen("train.lr", rate, f"for batches of {batch}"),
        *([_chosen("train.weight_decay", 0.05, "usual for AdamW")] if adamw else []),
        _chosen("train.schedule", "cosine", "has no steps to tune"),
        _chosen("train.warmup", 500 if timed else min(500, iterations // 4), "iterations"),
        _chosen("train.clip", 10.0, "limits what a bad batch can do"),
        *([] if timed else [_chosen("train.evaluate_every", min(evaluations, iterations), "iterations")]),
    ]


def choose_sides(
    index: AnnotationIndex, gpu: bool, sizes: InputConfig | None = None, given: Collection[str] = ()
) -> tuple[int, int]:
    """(shorter, longer) side of the test images in pixels. sizes: the input as far as it is `given`: the size of
    testing; else the largest of training; else what the images and objects want, within a given longer side."""
    sizes = sizes or InputConfig()
    short = _fitting_side(index, gpu)
    if "input.long_side" in given:
        short = min(short, max(sizes.long_side * 3 // 5 // 32 * 32, 32))
    if "input.train_short_sides" in given:
        short = max(sizes.train_short_sides)
    if "input.test_short_side" in given:
        short = sizes.test_short_side
    long = sizes.long_side if "input.long_side" in given else short * 5 // 3
    return short, long


def _fitting_side(index: AnnotationIndex, gpu: bool) -> int:
    """The shorter side that suits the images and shows their small objects."""
    native = float(np.median(index.sizes.min(axis=1)))
    least, most = (480, 800) if gpu else (256, 480)
    usual = np.clip(native, least, 640 if gpu else 320)
    wanted = native * SMALLEST_OBJECT / _small_object(index, native)
    return -(-int(np.clip(max(usual, wanted), least, most)) // 32) * 32


def choose_anchors(index: AnnotationIndex, sides: tuple[int, int], model: ModelConfig | None = None) -> Anchors:
    """The anchors that meet most boxes in images of these sides; never fewer than a config's defaults do there.

    model: its architecture, and anchors as far as they are set: sizes, and ratios other than the defaults, stay.
    """
    model = model or ModelConfig()
    given = model.anchors
    own = {name: getattr(given, name) for name in ("ratios", "offset", "rounded", "classic")}
    usual = replace(usual_anchors(model.architecture, *sides), **own)
    if given.sizes is not None:
        return replace(usual, sizes=given.sizes)
    return best_fit(index, usual, keep_ratios=given.ratios != USUAL_RATIOS)


def _small_object(index: AnnotationIndex, native: float) -> float:
    """Side of the smaller objects (the 10th percentile), pixels of their images."""
    sides = np.sqrt(np.maximum(index.xywh[:, 2] * index.xywh[:, 3], 0))
    return float(np.quantile(sides[sides > 0], 0.1)) if (sides > 0).any() else native / 4


def _input_size(
    index: AnnotationIndex, sides: tuple[int, int], sizes: InputConfig, given: Collection[str]
) -> list[Setting]:
    (short, long), native = sides, float(np.median(index.sizes.min(axis=1)))
    scaled = _small_object(index, native) * short / native
    training = [side for side in training_sides(short) if side <= long] or [long]
    if "input.train_short_sides" in given and "input.long_side" not in given:
        long = max(long, *sizes.train_short_sides)
    return [
        _chosen("input.train_short_sides", training, "pixels, one drawn for each batch"),
        _chosen("input.test_short_side", short, f"images are {native:.0f}; small objects become {scaled:.0f} pixels"),
        _chosen("input.long_side", long, "pixels"),
    ]


def _anchors(index: AnnotationIndex, sides: tuple[int, int], model: ModelConfig) -> list[Setting]:
    anchors, usual = choose_anchors(index, sides, model), usual_anchors(model.architecture, *sides)
    reason = f"overlap {_shares(recall(index, anchors))} of the boxes by IoU .5 and .7"
    if (anchors.sizes, anchors.ratios) == (usual.sizes, usual.ratios):
        reason += "; fitted anchors are not clearly better than these defaults"
    else:
        reason += f", the defaults {_shares(recall(index, usual))}"
    fitted = [_chosen("model.anchors.ratios", anchors.ratios, "height to width, fitted to the boxes")]
    return [
        _chosen("model.anchors.sizes", anchors.sizes, reason),
        *(fitted if anchors.ratios != model.anchors.ratios else []),
    ]


def _shares(met: dict[float, float]) -> str:
    return " and ".join(f"{100 * share:.1f} %" for share in met.values())
