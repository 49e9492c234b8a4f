"""The settings of a detector and a run of a second, for tests and for tools that make many runs."""

from __future__ import annotations

TINY = {
    "device": "cpu",
    "input.train_short_sides": "[64]",
    "input.test_short_side": "64",
    "input.long_side": "128",
    "input.workers": "0",
    "model.backbone": "resnet18",
    "model.weights": "null",
    "model.width": "8",
    "model.fpn_channels": "16",
    "model.anchors.sizes": "[[8],[16],[32],[64],[128]]",
    "model.rpn.train_before_nms": "100",
    "model.rpn.train_after_nms": "50",
    "model.rpn.test_before_nms": "100",
    "model.rpn.test_after_nms": "50",
    "model.roi.sampling_ratio": "1",
    "model.roi.batch_per_image": "32",
    "model.roi.hidden": "32",
    "train.batch": "2",
    "train.iterations": "2",
    "train.lr": "0.01",
    "train.warmup": "0",
    "train.pictures": "1",
    "evaluate.report": "false",
}
"""2 iterations of 2 images of 64 pixels."""


def tiny_options(**changes: str | None) -> list[str]:
    """`TINY` as options of `frcnn train`, with `changes`, whose dots are written as two underscores; None leaves a
    setting out."""
    settings = {**TINY, **{name.replace("__", "."): value for name, value in changes.items()}}
    return [f"--{key}={value}" for key, value in settings.items() if value is not None]
