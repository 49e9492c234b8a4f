"""What a training shows on the terminal: lines, and where it is a terminal, a progress bar below them."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from detection.engine.callback import Callback
from detection.engine.length import UNKNOWN
from detection.progress import shown_by

HEADLINE = ("AP", "AP50", "AP75", "top1_error", "top5_error", "loss")
"""Validation metrics that the terminal shows; the files have all of them."""

NOTABLE_WAIT = 0.2
"""share of the time in which steps wait for images, from which on it is told"""

QUIET = 10.0
"""seconds without a line after which a step is told, where there is no bar"""

NOT_LOSSES = ("lr", "images_per_second", "waiting", "memory_gib")


class Terminal(Callback):
    """steps_per_epoch: by which epochs are counted; None where they mean nothing."""

    def __init__(self, steps_per_epoch: int | None = None) -> None:
        self.steps_per_epoch = steps_per_epoch
        self._console = Console(highlight=False)
        self._began, self._start, self._total = time.monotonic(), 0, 0
        self._told = self._began
        self._bar: Progress | None = None
        self._last = Text("starting", style="dim")
        self._shown = contextlib.ExitStack()

    def on_message(self, text: str) -> None:
        self._told = time.monotonic()
        self._console.print(text, markup=False, soft_wrap=True)

    def on_start(self, iteration: int, total: int) -> None:
        self._began, self._start, self._total = time.monotonic(), iteration, total
        if not self._console.is_terminal:
            return
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), TimeRemainingColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns)
        self._bar.add_task("", total=total, completed=iteration)
        self._shown.enter_context(Live(Group(self._bar, self._last), console=self._console, refresh_per_second=4))
        self._shown.enter_context(shown_by(self._show_work))

    def on_plan(self, total: int) -> None:
        self._total = total
        if self._bar:
            self._bar.update(self._bar.task_ids[0], total=total)

    def on_step(self, iteration: int) -> None:
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=iteration)
        elif time.monotonic() - self._told > QUIET:
            self.on_message(f"iteration {iteration}{f' of {self._total}' if 0 < self._total < UNKNOWN else ''}")

    def _show_work(self, what: str, done: int, total: int) -> None:
        """Work between two iterations, such as validation, in the live line."""
        self._last.plain = f"{what}: {done} of {total}"

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        parts = "  ".join(f"{name} {value:.3f}" for name, value in values.items() if name not in NOT_LOSSES)
        text = f"{parts}  lr {values['lr']:.2g}  {values['images_per_second']:.1f} images/s"
        text += f"  epoch {iteration / self.steps_per_epoch:.1f}" if self.steps_per_epoch else ""
        text += f"  {values['memory_gib']:.1f} GiB" if values.get("memory_gib") else ""
        waiting = values.get("waiting", 0.0)
        text += f"  waiting for images {waiting:.0%}" if waiting >= NOTABLE_WAIT else ""
        if self._bar:
            self._last.plain = text
        else:
            place = f"{iteration:>{len(str(self._total))}}/{self._total}"
            self.on_message(f"{place}  {text}  ETA {self._remaining(iteration)}")

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        shown = [f"{name} {metrics[name]:.3f}" for name in HEADLINE if name in metrics]
        if shown:
            self.on_message(f"iteration {iteration}, validation: {'  '.join(shown)}")

    def on_end(self) -> None:
        self._shown.close()
        self._bar = None

    def _remaining(self, iteration: int) -> timedelta:
        seconds = (time.monotonic() - self._began) / max(iteration - self._start, 1) * (self._total - iteration)
        return timedelta(seconds=round(seconds))
