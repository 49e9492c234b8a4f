"""Progress on the terminal: a bar that goes when the work is done, or, where nobody watches, a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from detection.progress import shown_by

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY = 30.0
"""seconds between two lines"""


@contextmanager
def progress_on_terminal() -> Iterator[None]:
    """Within it, work that takes long shows on the standard error how far it is; of several processes, in the first."""
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    show = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        with shown_by(show):
            yield
    finally:
        show.close()


class _Bar:
    """A bar with the time left."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bar is None:
            self._open(what, total)
        assert self._bar is not None
        self._bar.update(self._bar.task_ids[0], completed=done)
        if done >= total:
            self.close()

    def _open(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.add_task(what, total=total)
        self._bar.start()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Lines:
    """A line at the first step that is told, and then every `EVERY` seconds."""

    def __init__(self) -> None:
        self._last = -EVERY
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what or now - self._last >= EVERY:
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)
            self._last = now
        self._what = what if done < total else ""

    def close(self) -> None:
        return
