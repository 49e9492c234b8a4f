"""`detection.train`: `frcnn train` for programs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from detection.api.load import LoadedDetector, load
from detection.automatic.configure import configure
from detection.config.command_line import CommandLine
from detection.config.schema import Config
from detection.engine.callback import Callback
from detection.errors import InputError
from detection.training.train import train as run_training


@dataclass(frozen=True)
class TrainedRun:
    """A finished training. folder: with its files; metrics: of the best weights on the validation split, as in
    evaluation.json, None without one; config: every setting."""

    folder: Path
    metrics: dict[str, float] | None
    config: Config

    @cached_property
    def detector(self) -> LoadedDetector:
        """The detector of `best.pt`, on the device of the training."""
        return load(self.folder / "best.pt", self.config.device)


def train(
    data: Path | str | None = None,
    *,
    output: Path | str = "runs/train",
    config: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> TrainedRun:
    """Train a detector as `frcnn train` does: without a config, all that is not given is chosen by looking at the data.

    options: the short options of the command by name, such as epochs, batch, lr, size, model, backbone, weights,
    device, workers, resume. settings: any other setting by its full name. config: a YAML file or the name of one that
    comes with the toolkit. None is null: `weights=None` starts from random weights. callbacks: told of steps,
    evaluations and checkpoints. Raises `InputError` for what the user can fix, `detection.engine.signals.Interrupted`
    where a signal ends it.

        >>> run = detection.train(data="shapes", epochs=3, output="runs/x", settings={"train.momentum": 0.95})
        >>> run.metrics["AP"], run.detector("photo.jpg")
    """
    if settings is not None and not isinstance(settings, Mapping):
        raise InputError(f"settings: got {type(settings).__name__}; give a dict of names and values")
    for each in callbacks if isinstance(callbacks, Sequence) else [None]:
        if not isinstance(each, Callback):
            raise InputError(f"callbacks: got {callbacks!r}; give a list of objects of detection.Callback")
    places = {"data": data, "output": output, "config": config}
    given = {key: value for key, value in places.items() if value is not None} | options | dict(settings or {})
    words = [f"--{key}={_text(value)}" for key, value in given.items()]
    line = CommandLine.read(words, Config)
    if line.folds:
        raise InputError("folds: belongs to the command, `frcnn train --folds K`; here one detector is trained")
    made = configure(line)
    for told in made.lines:
        print(told)
    result = run_training(made.config, made.splits, made.origins, callbacks)
    stats = None if result is None or result.evaluation is None else dict(result.evaluation.stats)
    return TrainedRun(Path(made.config.output), stats, made.config)


def _text(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, (str, os.PathLike)):
        return str(value)
    try:
        text = str(yaml.safe_dump(_plain(value), default_flow_style=True, width=10**9))
    except yaml.YAMLError as error:
        raise InputError(f"{value!r} cannot be a setting; give numbers, texts, lists and dicts") from error
    return text.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy or torch, tuples and paths as what YAML knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple, range)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, os.PathLike) else value
