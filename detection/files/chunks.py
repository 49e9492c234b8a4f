"""A function of each of many files, by several threads: they wait for the disk or network together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

CHUNK = 64
"""items handed to a thread at once; handing over single ones takes longer than to read the header of an image"""


def in_threads(function: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
    """What the function gives of each item, in order. An exception is raised where its item's turn comes."""

    def of_all(start: int) -> list[T]:
        return [function(item) for item in items[start : start + CHUNK]]

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for results in pool.map(of_all, range(0, len(items), CHUNK)):
            yield from results
