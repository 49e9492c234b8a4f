"""TensorBoard's files, `tensorboard/` in the folder of a run.

TensorBoard can hide what a restarted run has written twice, but goes by the order of its files' names, which begin with
the time of day: a clock that was set back confuses it. So what is past the checkpoint is taken out of the files.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detection.engine.callback import Callback
from detection.engine.metric_files import writing
from detection.files.atomic import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Report = tuple[str, int]
"""Tag and step, of which a run writes each pair once."""


class TensorBoard(Callback):
    """Curves and pictures in `folder`. Raises `InputError` where the disk is full or the folder has gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: set[Report] = set()
        self._events: SummaryWriter | None = None

    def on_start(self, iteration: int, total: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        with writing(self.folder):
            self._written = cut_events(self.folder, iteration)
            self._events = SummaryWriter(str(self.folder))

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        self._scalars("train", iteration, values)

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        self._scalars("val", iteration, metrics)

    def on_picture(self, name: str, iteration: int, picture: np.ndarray) -> None:
        if self._events and self._is_new(name, iteration):
            with writing(self.folder):
                self._events.add_image(name, picture, iteration, dataformats="HWC")

    def before_checkpoint(self) -> None:
        if self._events:
            with writing(self.folder):
                self._events.flush()

    def on_end(self) -> None:
        if self._events:
            # A run that ends well has saved its last checkpoint, and flushed before; of another this is not the fault.
            with contextlib.suppress(OSError):
                self._events.close()
            self._events = None

    def _scalars(self, kind: str, iteration: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            if self._events and self._is_new(f"{kind}/{name}", iteration):
                with writing(self.folder):
                    self._events.add_scalar(f"{kind}/{name}", value, iteration)

    def _is_new(self, tag: str, iteration: int) -> bool:
        """Whether the files do not hold it yet; asked once, they do."""
        new = (tag, iteration) not in self._written
        self._written.add((tag, iteration))
        return new


def cut_events(folder: Path, iteration: int) -> set[Report]:
    """Keep of all event files in `folder` the events up to `iteration`, each tag and step once, and return these; files
    that then say nothing go. Half an event at the end of a file, as a killed process leaves it, goes too. Raises
    OSError and `InputError`."""
    files = sorted(folder.glob("events.out.tfevents.*")) if folder.is_dir() else []
    known: set[Report] = set()
    if not files:
        return known
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    for path in files:
        records = list(RawEventFileLoader(str(path)).Load()) if path.stat().st_size else []
        kept, reports = [], 0
        for record in records:
            event = Event.FromString(record)
            told = {(value.tag, event.step) for value in event.summary.value}
            if event.HasField("file_version") or (told and event.step <= iteration and not told <= known):
                kept.append(record)
            if told and event.step <= iteration:
                reports += not told <= known
                known |= told
        if not reports:
            path.unlink()
            continue
        buffer = io.BytesIO()
        writer = RecordWriter(buffer)
        for record in kept:
            writer.write(record)
        if buffer.getvalue() != path.read_bytes():
            write_atomically(path, buffer.getvalue())
    return known
