"""`detection.train`: `frcnn train` for programs."""

from __future__ import annotations

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
    comes with the toolkit. callbacks: told of steps, evaluations and checkpoints. Raises `InputError` for what the
    user can fix, `detection.engine.signals.Interrupted` where a signal ends it.

        >>> run = detection.train(data="shapes", epochs=3, output="runs/x", settings={"train.momentum": 0.95})
        >>> run.metrics["AP"], run.detector("photo.jpg")
    """
    given = {"data": data, "output": output, "config": config, **options, **(settings or {})}
    words = [f"--{key}={_text(value)}" for key, value in given.items() if value is not None]
    made = configure(CommandLine.read(words, Config))
    for line in made.lines:
        print(line)
    result = run_training(made.config, made.splits, made.origins, callbacks)
    stats = None if result is None or result.evaluation is None else dict(result.evaluation.stats)
    return TrainedRun(Path(made.config.output), stats, made.config)


def _text(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, (str, Path)):
        return str(value)
    return str(yaml.safe_dump(value, default_flow_style=True, width=10**9)).removesuffix("...\n").strip()
