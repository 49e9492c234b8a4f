"""The events of a training, and those who listen to them: files, terminal, TensorBoard and a program's own code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Callback:
    """Override what is of interest; all of it is called in the process of the first rank, between two steps.

        >>> class Print(detection.Callback):
        ...     def on_evaluation(self, iteration, metrics):
        ...         print(iteration, metrics["AP"])

    An exception ends the training as any other does; what was saved can be resumed.
    """

    def on_start(self, iteration: int, total: int) -> None:
        """Before the first step. iteration: how many steps a resumed run has behind it, 0 for a new one; total: how
        many it will have, as far as that is known."""

    def on_plan(self, total: int) -> None:
        """The number of steps is another: a run by time has looked at the clock, or one ends early."""

    def on_message(self, text: str) -> None:
        """A line that the user should read; also before `on_start`."""

    def on_step(self, iteration: int) -> None:
        """After each optimiser step; iteration: how many there have been."""

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        """Every train.log_every iterations. values: means of the losses since the last report; the learning rate
        `lr`; `images_per_second`; `waiting`, the share of the time in which steps waited for images; `memory_gib`, the
        most that the process, or its GPU, has held."""

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        """After each evaluation on the validation split: AP and its like, and the losses there."""

    def on_picture(self, name: str, iteration: int, picture: np.ndarray) -> None:
        """(H, W, 3) uint8, such as detections beside the ground truth, after an evaluation."""

    def before_checkpoint(self) -> None:
        """Before `last.pt` or `best.pt` is written. A resumed run repeats no step of a checkpoint, so what was
        reported of them must be safe by now."""

    def on_checkpoint(self, path: Path) -> None:
        """After `last.pt` or `best.pt` has been written."""

    def on_end(self) -> None:
        """When the training is over, also by an exception."""


class Callbacks(Callback):
    """Several callbacks as one, told in their order."""

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self.callbacks = tuple(callbacks)

    def on_start(self, iteration: int, total: int) -> None:
        for each in self.callbacks:
            each.on_start(iteration, total)

    def on_plan(self, total: int) -> None:
        for each in self.callbacks:
            each.on_plan(total)

    def on_message(self, text: str) -> None:
        for each in self.callbacks:
            each.on_message(text)

    def on_step(self, iteration: int) -> None:
        for each in self.callbacks:
            each.on_step(iteration)

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        for each in self.callbacks:
            each.on_report(iteration, values)

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        for each in self.callbacks:
            each.on_evaluation(iteration, metrics)

    def on_picture(self, name: str, iteration: int, picture: np.ndarray) -> None:
        for each in self.callbacks:
            each.on_picture(name, iteration, picture)

    def before_checkpoint(self) -> None:
        for each in self.callbacks:
            each.before_checkpoint()

    def on_checkpoint(self, path: Path) -> None:
        for each in self.callbacks:
            each.on_checkpoint(path)

    def on_end(self) -> None:
        for each in self.callbacks:
            each.on_end()
