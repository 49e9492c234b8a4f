"""TensorBoard's files of a resumed run.

TensorBoard can hide what a restarted run has written twice, but goes by the order of its files' names, which begin with
the time of day: a clock that was set back confuses it. So what is past the checkpoint is taken out of the files.
"""

from __future__ import annotations

import io
from pathlib import Path

from detection.atomic import write_atomically


def cut_events(folder: Path, iteration: int) -> None:
    """Keep of all event files in `folder` the events up to `iteration`; files that then say nothing go. Half an event
    at the end of a file, as a killed process leaves it, goes too. Raises OSError and `InputError`."""
    files = sorted(folder.glob("events.out.tfevents.*")) if folder.is_dir() else []
    if not files:
        return
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    for path in files:
        records = list(RawEventFileLoader(str(path)).Load()) if path.stat().st_size else []
        events = [(Event.FromString(record), record) for record in records]
        kept = [record for event, record in events if event.HasField("file_version") or event.step <= iteration]
        if not any(event.HasField("summary") and event.step <= iteration for event, _ in events):
            path.unlink()
            continue
        buffer = io.BytesIO()
        writer = RecordWriter(buffer)
        for record in kept:
            writer.write(record)
        if buffer.getvalue() != path.read_bytes():
            write_atomically(path, buffer.getvalue())
