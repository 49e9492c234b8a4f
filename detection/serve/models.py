"""The detectors of a service: from the bytes of images to what is found in them, within the limits of the service."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.api.load import LoadedDetector
from detection.data.image import as_rgb, read_image, upright_size
from detection.errors import InputError
from detection.files.decode import decoding, open_image
from detection.records import Detections
from detection.serve.batching import Answer, Batcher, Overloaded
from detection.serve.limits import Refused

Images = Sequence[tuple[str, bytes | np.ndarray]]
"""Their names, and the content of files or (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Service:
    """What a service allows itself.

    batch: images computed at once at most; wait: seconds that an image waits for others; room: images that are decoded,
    wait or are computed, for each model; patience: seconds until an answer at most, and between two pieces of a body;
    most_bytes, most_pixels: of a request, and of an image; key: what callers must know, None for nothing; origins:
    of pages elsewhere that may ask, `*` for any.
    """

    batch: int = 1
    wait: float = 0.005
    room: int = 64
    patience: float = 60.0
    most_bytes: int = 32 << 20
    most_pixels: int = 50_000_000
    key: str | None = None
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What is in an image. pixels: (H, W, 3) uint8 RGB; seconds: decoding, waiting and computing; batch: images that
    were computed together."""

    name: str
    pixels: np.ndarray
    detections: Detections
    seconds: dict[str, float]
    batch: int


class ServedModel:
    """A detector with its queue. told: see `Batcher`."""

    def __init__(
        self, name: str, loaded: LoadedDetector, service: Service, told: Callable[[int, float], None] | None = None
    ) -> None:
        self.name, self.loaded, self.service = name, loaded, service
        self.batcher = Batcher(loaded.serving, service.batch, service.wait, service.room, told)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.loaded.class_names

    async def find(
        self,
        images: Images,
        pool: Executor,
        score: float | None,
        names: Sequence[str],
    ) -> list[Found]:
        """What is in each. score: the least; default as the detector was told; names: of classes, none for all. Raises
        `Refused`."""
        wanted = self._labels(names)
        try:
            self.batcher.admit(len(images))
        except Overloaded:
            if len(images) > self.batcher.room:
                raise Refused(413, f"{len(images)} images in one request; at most {self.batcher.room}") from None
            raise Refused(503, f"{self.batcher.present} images are waiting already; come again") from None
        try:
            found = await asyncio.wait_for(self._find(images, pool), self.service.patience)
        except asyncio.TimeoutError:
            raise Refused(504, f"not done in {self.service.patience:g} seconds") from None
        finally:
            self.batcher.release(len(images))
        return [self._kept(each, score, wanted) for each in found]

    async def _find(self, images: Images, pool: Executor) -> list[Found]:
        loop = asyncio.get_running_loop()
        decode = [loop.run_in_executor(pool, functools.partial(self._decode, *image)) for image in images]
        decoded = await asyncio.gather(*decode)
        answers = [asyncio.wrap_future(self.batcher.submit(prepared)) for _, prepared, _ in decoded]
        found = []
        for (name, _), (pixels, _, took), answer in zip(images, decoded, await asyncio.gather(*answers)):
            assert isinstance(answer, Answer)
            seconds = {"decode": took, "wait": answer.waited, "compute": answer.computed}
            found.append(Found(name, pixels, answer.found, seconds, answer.batch))
        return found

    def _decode(self, name: str, content: bytes | np.ndarray) -> tuple[np.ndarray, Any, float]:
        began = time.monotonic()
        try:
            if isinstance(content, bytes):
                with decoding(name), open_image(content) as opened:
                    height, width = upright_size(opened)
            else:
                height, width = content.shape[:2]
            if height * width > self.service.most_pixels:
                most = self.service.most_pixels
                raise Refused(413, f"{name}: {width}x{height} pixels; at most {most} pixels are taken")
            bits = self.loaded.detector.grey_bits
            pixels = read_image(content, bits, name) if isinstance(content, bytes) else as_rgb(content)
            prepared = self.loaded.serving.prepare(pixels)
        except InputError as error:
            raise Refused(422, str(error)) from error
        return pixels, prepared, time.monotonic() - began

    def _labels(self, names: Sequence[str]) -> list[int] | None:
        for name in names:
            if name not in self.class_names:
                raise Refused(
                    422, f"classes: there is no {name[:100]!r}; there are {', '.join(self.class_names)[:500]}"
                )
        return [self.class_names.index(name) for name in names] or None

    def _kept(self, found: Found, score: float | None, labels: list[int] | None) -> Found:
        least = self.loaded.detector.thresholds if score is None else score
        detections = found.detections if least is None else found.detections.above(least)
        if labels is not None:
            wanted = [np.inf] * len(self.class_names)
            for label in labels:
                wanted[label] = 0.0
            detections = detections.above(wanted)
        return Found(found.name, found.pixels, detections, found.seconds, found.batch)
