"""How much a packed file may unpack to: a few kilobytes can stand for more than a disk or a memory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

RATIO = 100
"""Unpacked bytes to packed ones. Images pack hardly at all, annotations in text to a tenth."""
FREE = 256 << 20
"""Bytes that any file may unpack to."""
MEMBER = 512
"""Bytes that a member counts for at least: a billion empty ones fill a disk too."""


class TooLargeError(ValueError):
    """A packed file would unpack to more than it plausibly holds."""


class Allowance:
    """Counts what has been unpacked of one file; `TooLargeError` above FREE and RATIO times its size."""

    def __init__(self, path: Path) -> None:
        self.limit = RATIO * path.stat().st_size + FREE
        self.spent = 0

    def spend(self, size: int) -> None:
        self.spent += max(size, 0)
        if self.spent > self.limit:
            raise TooLargeError(f"it unpacks to more than {self.limit >> 20} MiB")


class BoundedStream:
    """A stream that may be read no further than its allowance."""

    def __init__(self, stream: Any, allowance: Allowance) -> None:
        self._stream, self._allowance = stream, allowance

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        self._allowance.spend(len(data))
        return data
