"""Settings that others leave without effect. They are no mistake, since a config may say what only some of its uses
need, but nobody should take them for heeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config

AnyConfig = Config | PretrainConfig
Row = tuple[str, str, Callable[[Any], bool]]
"""Keys, apart by spaces; the key that decides; whether they have an effect, by that key's value."""

_TRAIN: list[Row] = [
    ("train.steps", "train.schedule", lambda value: value == "step"),
    ("train.momentum", "train.optimizer", lambda value: value == "sgd"),
    ("train.gamma", "train.schedule", lambda value: value != "cosine"),
    ("train.plateau", "train.schedule", lambda value: value == "plateau"),
    ("train.metric", "dataset.val", lambda value: value is not None),
]

DETECTOR: list[Row] = [
    *_TRAIN,
    ("train.warmup_factor", "train.warmup", bool),
    ("train.step_shares", "train.mode", lambda value: value == "alternating"),
    ("input.tile_overlap input.tile_visible input.tile_empty", "input.tile", lambda value: value is not None),
    ("dataset.val_fraction", "dataset.val", lambda value: value is not None),
    ("model.fpn_channels", "model.architecture", lambda value: value == "fpn"),
    (
        "model.head_norm model.roi.convolutions model.roi.hidden",
        "model.architecture",
        lambda value: value in ("fpn", "dc5"),
    ),
    ("model.roi.dropout", "model.architecture", lambda value: value == "vgg16"),
    ("model.roi.sampling_ratio", "model.roi.pool", lambda value: value != "pool"),
    ("model.rpn.beta", "model.rpn.box_loss", lambda value: value == "smooth_l1"),
    ("model.roi.beta", "model.roi.box_loss", lambda value: value == "smooth_l1"),
]

CLASSIFIER: list[Row] = [
    *_TRAIN,
    ("dataset.hold_out", "dataset.val", lambda value: value is not None),
    ("input.short_sides", "input.augment", lambda value: value == "scale"),
    ("input.pad", "input.augment", lambda value: value == "pad"),
    ("net.ceil_pool", "net.name", lambda value: value.startswith(("resnet", "plain", "vgg"))),
]


def idle_settings(config: AnyConfig) -> list[str]:
    """A line for each setting that is not the default and yet changes nothing, with the one that says so."""
    default = type(config)()
    lines = []
    for keys, judge, acts in DETECTOR if isinstance(config, Config) else CLASSIFIER:
        value = _value(config, judge)
        for key in keys.split() if not acts(value) else ():
            given = _value(config, key)
            if given != _value(default, key):
                shown = "null" if value is None else value
                lines.append(f"warning: {key} {given} has no effect with {judge} {shown}")
    return lines


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config
