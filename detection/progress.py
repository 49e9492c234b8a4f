"""How far work is that takes longer than a moment, told to whoever shows it; to nobody unless asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Show = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

PATIENCE = 2.0
"""seconds that work may take without a word"""

_show: ContextVar[Show | None] = ContextVar("show", default=None)


@contextmanager
def shown_by(show: Show | None) -> Iterator[None]:
    """Within it, `track` tells `show`."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items, `total` of them. Once they have taken more than `PATIENCE`, each step is told, and the end."""
    show = _show.get()
    if show is None:
        yield from items
        return
    began, told = time.monotonic(), False
    for done, item in enumerate(items):
        if told or time.monotonic() - began > PATIENCE:
            show(what, done, total)
            told = True
        yield item
    if told:
        show(what, total, total)
