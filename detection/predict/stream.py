"""Images through a detector without gaps: while the network computes, threads decode the next images and draw and write
the finished ones. Decoders and PNG and JPEG writers leave Python's lock alone, so that threads do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.image import read_image
from detection.data.slide import Slide, read_or_open
from detection.errors import InputError
from detection.files.decode import TooLarge

AHEAD = 2
"""Batches that are decoded while one is with the network."""

BEHIND = 4
"""Batches that wait to be drawn and written."""


@dataclass(frozen=True)
class Decoded:
    """One batch. pixels: (H, W, 3) uint8 RGB of each image that could be read, or what gives them; inputs: the same as
    the detector takes them; skipped: why each other one could not be read."""

    paths: Sequence[Path]
    pixels: dict[Path, np.ndarray | Slide] = field(default_factory=dict)
    inputs: list[Any] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class Decoder:
    """Decodes batches of images, the next ones in `threads` threads while one is used.

    prepare: makes of the pixels what the detector takes. skip: leave unreadable images out and say why, instead of
    raising their `InputError`. waited: seconds for which nothing was ready; elapsed: seconds in all.
    grey_bits: see `read_image`; slides: open what is too large to be decoded whole, for a detector that takes it.
    """

    def __init__(
        self,
        prepare: Callable[[Any], Any],
        threads: int,
        skip: bool = False,
        grey_bits: int = 16,
        slides: bool = False,
    ) -> None:
        self._open = read_or_open if slides else read_image
        self.prepare = prepare
        self.grey_bits = grey_bits
        self.threads = threads
        self.skip = skip
        self.waited = self.elapsed = 0.0

    def __call__(self, batches: Iterable[Sequence[Path]]) -> Iterator[Decoded]:
        """The batches in turn."""
        began = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[tuple[Sequence[Path], list[Future[tuple[np.ndarray | Slide, Any]]]]] = deque()
            try:
                for paths in batches:
                    waiting.append((paths, [pool.submit(self._read, path) for path in paths]))
                    if len(waiting) > AHEAD:
                        yield self._collect(*waiting.popleft())
                while waiting:
                    yield self._collect(*waiting.popleft())
            finally:  # after a failure, or where the caller stops, nothing more is decoded
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()
                self.elapsed = time.monotonic() - began

    def _read(self, path: Path) -> tuple[np.ndarray | Slide, Any]:
        try:
            pixels = self._open(path, self.grey_bits)
        except TooLarge as error:
            raise InputError(f"{error}, or look at it in tiles (--tile)") from error
        return pixels, self.prepare(pixels)

    def _collect(self, paths: Sequence[Path], futures: list[Future[tuple[np.ndarray | Slide, Any]]]) -> Decoded:
        began = time.monotonic()
        batch = Decoded(paths)
        for path, future in zip(paths, futures):
            try:
                pixels, ready = future.result()
            except InputError as error:
                if not self.skip:
                    raise
                batch.skipped.append(str(error))
            else:
                batch.pixels[path] = pixels
                batch.inputs.append(ready)
        self.waited += time.monotonic() - began
        return batch


class Finisher:
    """Does what is left of each batch in a thread of its own, in order, to be used as a context: its end waits for all.

    What fails there is raised by the next `submit` or by the end of the context.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        self._waiting.append(self._pool.submit(work, *arguments))
        while len(self._waiting) > BEHIND:
            self._waiting.popleft().result()

    def __enter__(self) -> Finisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self._waiting:
                finished = self._waiting.popleft()
                if kind is None:
                    finished.result()
        finally:  # what was found before a failure is still written; after a failed write nothing is
            self._pool.shutdown(wait=True, cancel_futures=kind is None)
