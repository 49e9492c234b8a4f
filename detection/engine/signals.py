"""Being asked to stop: Ctrl-C, `kill`, job queues that preempt."""

from __future__ import annotations

import contextlib
import signal
from typing import Any


class Interrupted(Exception):
    """The run was asked to stop, finished its step and saved. `signal` says by which signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class Signals:
    """While active, the first SIGINT or SIGTERM is remembered for the end of the step; a second one acts at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread: leave signals alone
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _receive(self, number: int, _: object) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
