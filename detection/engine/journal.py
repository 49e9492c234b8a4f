"""What a run tells: progress on the terminal, `metrics.jsonl`, `results.csv` and TensorBoard.

`metrics.jsonl` has a line per report, `results.csv` a row per evaluation. A resumed run cuts off what was written past
the checkpoint, in all three, so that no iteration appears twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
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

from detection.atomic import cannot_write, write_atomically
from detection.engine.event_files import cut_events
from detection.progress import shown_by

HEADLINE = ("AP", "AP50", "AP75", "top1_error", "top5_error", "loss")
"""Validation metrics that the terminal shows; the files have all of them."""

NOTABLE_WAIT = 0.2
"""share of the time in which steps wait for images, from which on it is told"""


class Journal:
    """Reports of one run of `total` iterations, from iteration `start` on, into `folder` and on the terminal.

    Before `open` it only says lines, and the folder stays as it is. Whatever writes raises `InputError` where the disk
    is full or the folder has gone.
    """

    def __init__(self, folder: Path, total: int, start: int = 0, steps_per_epoch: int | None = None) -> None:
        self.folder = folder
        self.total = total
        self.start = start
        self.steps_per_epoch = steps_per_epoch
        self._began = time.monotonic()
        self._console = Console(highlight=False)
        self._step: Callable[[int], None] | None = None
        self._last: Text | None = None

    def open(self) -> None:
        """Cut off what was written past the start, and begin to write."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._rows = _rows_until(self.folder / "metrics.jsonl", self.start)
        write_atomically(self.folder / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in self._rows).encode())
        if (self.folder / "results.csv").exists():
            self._write_table()
        with self._writing("tensorboard"):
            self._told = cut_events(self.folder / "tensorboard", self.start)
            self._events = SummaryWriter(str(self.folder / "tensorboard"))

    def say(self, text: str) -> None:
        """A line that stays on the terminal."""
        self._console.print(text, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Within it, on a terminal, a live line shows the last report and moves with every `step`."""
        if not self._console.is_terminal:
            yield
            return
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), TimeRemainingColumn(), TimeElapsedColumn())
        bar, self._last = Progress(*columns), Text("starting", style="dim")
        task = bar.add_task("", total=self.total, completed=self.start)
        with Live(Group(bar, self._last), console=self._console, refresh_per_second=4):
            self._step = lambda iteration: bar.update(task, completed=iteration)
            with shown_by(self._tell):
                yield
        self._step = self._last = None

    def step(self, iteration: int) -> None:
        if self._step:
            self._step(iteration)

    def _tell(self, what: str, done: int, total: int) -> None:
        """Work between two iterations, such as validation, in the live line."""
        if self._last:
            self._last.plain = f"{what}: {done} of {total}"

    def report(
        self, iteration: int, values: dict[str, float], images_per_second: float, waiting: float = 0.0, memory: int = 0
    ) -> None:
        """Loss parts and the learning rate (`lr`) of a training iteration. waiting: share of the time in which steps
        waited for images; memory: bytes that the process, or its GPU, has taken at most."""
        self._write("train", iteration, {**values, "images_per_second": images_per_second})
        parts = "  ".join(f"{name} {value:.3f}" for name, value in values.items() if name != "lr")
        text = f"{parts}  lr {values['lr']:.2g}  {images_per_second:.1f} images/s"
        text += f"  epoch {iteration / self.steps_per_epoch:.1f}" if self.steps_per_epoch else ""
        text += f"  {memory / 2**30:.1f} GiB" if memory else ""
        text += f"  waiting for images {waiting:.0%}" if waiting >= NOTABLE_WAIT else ""
        if self._last:
            self._last.plain = text
        else:
            self.say(f"{iteration:>{len(str(self.total))}}/{self.total}  {text}  ETA {self._remaining(iteration)}")

    def evaluation(self, iteration: int, values: dict[str, float]) -> None:
        """Validation metrics and losses."""
        self._write("val", iteration, values)
        self._write_table()
        shown = [f"{name} {values[name]:.3f}" for name in HEADLINE if name in values]
        if shown:
            self.say(f"iteration {iteration}, validation: {'  '.join(shown)}")

    def _write_table(self) -> None:
        rows = [r for r in self._rows if r["kind"] == "val"]
        names = dict.fromkeys(name for row in rows for name in row if name != "kind")
        with io.StringIO(newline="") as table:
            writer = csv.DictWriter(table, list(names), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            write_atomically(self.folder / "results.csv", table.getvalue().encode())

    def picture(self, name: str, iteration: int, picture: np.ndarray) -> None:
        """(H, W, 3) uint8 for TensorBoard; the best weights, evaluated again at the end of a run, are drawn once."""
        if self._new(name, iteration):
            with self._writing("tensorboard"):
                self._events.add_image(name, picture, iteration, dataformats="HWC")

    def flush(self) -> None:
        """Have all that was reported on disk."""
        with self._writing("tensorboard"):
            self._events.flush()
        with self._writing("metrics.jsonl"), (self.folder / "metrics.jsonl").open("rb") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        with self._writing("tensorboard"):
            self._events.close()

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.folder / name, error) from error

    def _write(self, kind: str, iteration: int, values: dict[str, float]) -> None:
        row = {"kind": kind, "iteration": iteration, **{k: float(f"{v:.6g}") for k, v in values.items()}}
        self._rows.append(row)
        with self._writing("metrics.jsonl"), (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        with self._writing("tensorboard"):
            for name, value in values.items():
                if self._new(f"{kind}/{name}", iteration):
                    self._events.add_scalar(f"{kind}/{name}", value, iteration)

    def _new(self, tag: str, iteration: int) -> bool:
        """Whether TensorBoard has not been told of it yet; asked once, it has."""
        new = (tag, iteration) not in self._told
        self._told.add((tag, iteration))
        return new

    def _remaining(self, iteration: int) -> timedelta:
        seconds = (time.monotonic() - self._began) / max(iteration - self.start, 1) * (self.total - iteration)
        return timedelta(seconds=round(seconds))


def _rows_until(path: Path, iteration: int) -> list[dict[str, Any]]:
    """Reports up to `iteration`: those past the checkpoint that a run resumes from are made again."""
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        # A killed run may leave half a line, a machine without power zeros.
        with contextlib.suppress(json.JSONDecodeError, TypeError, KeyError):
            row = json.loads(line)
            if row["iteration"] <= iteration:
                rows.append(row)
    return rows
