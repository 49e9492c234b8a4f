"""A detector behind a queue: images that wait together are computed together, and too many are refused at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from detection.records import Detections


class Overloaded(Exception):
    """There is no room for more images; come again."""


@dataclass(frozen=True)
class Answer:
    """found: in pixels of the image; waited, computed: seconds in the queue, and in the network with `batch` images."""

    found: Detections
    waited: float
    computed: float
    batch: int


@dataclass
class _Image:
    prepared: Any
    came: float = field(default_factory=time.monotonic)
    answer: Future[Answer] = field(default_factory=Future)


class Batcher:
    """One thread that computes.

    detector: whatever has `prepare` and `detect`, as `Detector` and `GraphDetector` have; batch: images at once at
    most; wait: seconds that the first image of a batch waits for others; room: images that may be here, from the time
    they are decoded; told: is called with the number of images and the seconds of each batch.

    Images of a batch share a canvas, which moves results a little; with `batch` 1 each gives the numbers of evaluation.
    """

    def __init__(
        self, detector: Any, batch: int, wait: float, room: int, told: Callable[[int, float], None] | None = None
    ) -> None:
        self.detector, self.batch, self.wait, self.room = detector, batch, wait, room
        self._told = told or (lambda count, seconds: None)
        self._queue: queue.SimpleQueue[_Image | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open, self.present = True, 0
        self._thread = threading.Thread(target=self._compute_all, daemon=True)
        self._thread.start()

    def admit(self, count: int) -> None:
        """Take room for images that are to be decoded. Raises `Overloaded` where there is not enough, or where the
        service is stopping."""
        with self._lock:
            if not self._open or self.present + count > self.room:
                raise Overloaded
            self.present += count

    def release(self, count: int) -> None:
        """Give the room of images back that were admitted."""
        with self._lock:
            self.present -= count

    def submit(self, prepared: Any) -> Future[Answer]:
        """The answer to come for what `detector.prepare` gave, of an image that was admitted."""
        image = _Image(prepared)
        self._queue.put(image)
        return image.answer

    def close(self) -> None:
        """Compute what waits, and end."""
        with self._lock:
            was, self._open = self._open, False
        if was:
            self._queue.put(None)
        self._thread.join()

    def _compute_all(self) -> None:
        last = False
        while not last:
            first = self._queue.get()
            if first is None:
                return
            images, last = self._gathered(first)
            self._compute(images)

    def _gathered(self, first: _Image) -> tuple[list[_Image], bool]:
        """A batch, and whether it is the last one."""
        images, until = [first], time.monotonic() + self.wait
        while len(images) < self.batch:
            try:
                image = self._queue.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if image is None:
                return images, True
            images.append(image)
        return images, False

    def _compute(self, images: list[_Image]) -> None:
        """Answer those whose caller has not given up meanwhile."""
        images = [image for image in images if image.answer.set_running_or_notify_cancel()]
        if not images:
            return
        began = time.monotonic()
        try:
            found = self.detector.detect([image.prepared for image in images])
        except Exception as error:  # of one image or of the device: nobody may wait for ever
            for image in images:
                image.answer.set_exception(error)
            return
        took = time.monotonic() - began
        self._told(len(images), took)
        for image, own in zip(images, found):
            image.answer.set_result(Answer(own, began - image.came, took, len(images)))
