"""What a program may be told of a training while it runs."""

from __future__ import annotations

from pathlib import Path


class Callback:
    """Override what is of interest; all of it is called in the process of the first rank, between two steps.

        >>> class Print(detection.Callback):
        ...     def on_evaluation(self, iteration, metrics):
        ...         print(iteration, metrics["AP"])

    An exception ends the training as any other does; what was saved can be resumed.
    """

    def on_step(self, iteration: int) -> None:
        """After each optimiser step; iteration: how many there have been."""

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        """Every train.log_every iterations: means of the losses since the last report, and the learning rate `lr`."""

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        """After each evaluation on the validation split: AP and its like, and the losses there."""

    def on_checkpoint(self, path: Path) -> None:
        """After `last.pt` or `best.pt` has been written."""
