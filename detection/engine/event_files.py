"""TensorBoard's files of a resumed run.

TensorBoard can hide what a restarted run has written twice, but goes by the order of its files' names, which begin with
the time of day: a clock that was set back confuses it. So what is past the checkpoint is taken out of the files.
"""

from __future__ import annotations

import io
from pathlib import Path

from detection.atomic import write_atomically

Report = tuple[str, int]
"""Tag and step, of which a run writes each pair once."""


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
