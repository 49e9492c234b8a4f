"""Large images in tiles, for objects that would vanish if the whole image were shrunk to the network's input.

A tile that cuts through an object shows a part of it. Neighbouring tiles overlap, so that an object smaller than the
overlap is whole in one of them; larger ones are found in the whole image, which is looked at too. What is found at a
cut gives way to what was found whole (as SAHI's matching by the smaller area does, Akyon et al. 2022, but for parts
alone: a small object on a large one is no part of it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.ops import batched_nms

from detection.data.image import resize_size
from detection.data.slide import Slide
from detection.errors import InputError
from detection.geometry.boxes import area, clip, intersection, rescale
from detection.geometry.tiling import Place, count, views
from detection.records import Detections, Size

AT_CUT = 2.0
"""Pixels from a cut within which a box ends there."""
AHEAD = 2
"""Tiles that are cut out and resized while the network looks at one."""
MOST_TILES = 1_000_000
"""Of an image; of a slide of 200,000 x 200,000 pixels 63,000 tiles of 1,000 cover all."""
PART = 0.5
"""Share of a part's area that a box must cover to be the whole of it."""


@dataclass(frozen=True)
class Tiles:
    """An image that is to be cut up, and where; pixels: (H, W, 3) uint8 RGB."""

    pixels: np.ndarray | Slide
    places: list[Place]
    size: Size


@dataclass(frozen=True)
class TiledDetector:
    """A detector that looks at tiles of an image, and at the whole of it.

    detector: whatever has `prepare`, `detect`, `short_side` and `long_side`; tile: side in pixels of the image;
    overlap: share of it; nms: IoU above which the weaker of two detections of a class is dropped.
    """

    detector: Any
    tile: int
    overlap: float
    nms: float = 0.5

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.detector.class_names

    @property
    def grey_bits(self) -> int:
        return self.detector.grey_bits

    @property
    def device(self) -> torch.device:
        return self.detector.device

    def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
        return self.detect([self.prepare(image) for image in images])

    def prepare(self, image: np.ndarray | Slide) -> Tiles:
        """Raises `InputError` where there would be too many tiles."""
        size = (image.shape[0], image.shape[1])
        if count(size, self.tile, self.overlap) > MOST_TILES:
            name, many = getattr(image, "path", "image"), count(size, self.tile, self.overlap)
            raise InputError(f"{name}: {many} tiles of {self.tile} pixels, more than {MOST_TILES}; give larger ones")
        return Tiles(image, views(size, self.tile, self.overlap), size)

    def detect(self, images: Sequence[Tiles]) -> list[Detections]:
        """Tile by tile, so that memory does not grow with the image."""
        return [self._one(image) for image in images]

    def _one(self, image: Tiles) -> Detections:
        found = [self.detector.detect([given])[0] for given in self._inputs(image)]
        return together(found, image.places, image.size, self.nms)

    def _inputs(self, image: Tiles) -> Iterator[Any]:
        """What the detector takes of each view; a few are made while one is looked at, so that memory stays flat."""
        if len(image.places) == 1:
            yield self._input(image, image.places[0])
            return
        with ThreadPoolExecutor(AHEAD) as pool:
            waiting: deque[Future[Any]] = deque()
            for place in image.places:
                waiting.append(pool.submit(self._input, image, place))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _input(self, image: Tiles, place: Place) -> Any:
        x1, y1, x2, y2 = place
        if isinstance(image.pixels, Slide) and (y2 - y1, x2 - x1) == image.size:
            return self.detector.prepare(image.pixels.reduced(self._whole(image.size)))
        return self.detector.prepare(np.ascontiguousarray(image.pixels[y1:y2, x1:x2]))

    def _whole(self, size: Size) -> Size:
        """At which the whole of a slide of `size` is looked at: as the detector would resize it, and never enlarged."""
        height, width = resize_size(size, self.detector.short_side, self.detector.long_side)
        return min(height, size[0]), min(width, size[1])


def together(found: Sequence[Detections], places: Sequence[Place], size: Size, nms: float = 0.5) -> Detections:
    """What was found in each of the `views` of an image of `size`, in the pixels of the image, each object once; see
    `merged`. A view may have been made smaller than it is."""
    boxes, cut = [], []
    for own, place in zip(found, places, strict=True):
        full = (place[3] - place[1], place[2] - place[0])
        own_boxes = own.boxes if own.size == full else rescale(own.boxes, own.size, full)
        boxes.append(own_boxes + own.boxes.new_tensor([place[0], place[1], place[0], place[1]]))
        cut.append(ends_at_cut(boxes[-1], place, size))
    scores, labels = torch.cat([own.scores for own in found]), torch.cat([own.labels for own in found])
    every = Detections(torch.cat(boxes), scores, labels, size)
    return merged(every, torch.cat(cut), nms) if len(places) > 1 else every


def ends_at_cut(boxes: torch.Tensor, place: Place, size: Size) -> torch.Tensor:
    """(N,) bool: boxes that end where the tile does and the image does not."""
    x1, y1, x2, y2 = place
    inner = [x1 > 0, y1 > 0, x2 < size[1], y2 < size[0]]
    near = (boxes - boxes.new_tensor([x1, y1, x2, y2])).abs() <= AT_CUT
    return (near & torch.tensor(inner)).any(1)


def merged(found: Detections, cut: torch.Tensor, nms: float) -> Detections:
    """Best first, without doubles: of a class, what overlaps a better one by an IoU above `nms`, and parts (`cut`) of
    which another box covers `PART`. What is whole counts before what is a part, whatever they score."""
    boxes, alive = clip(found.boxes, found.size), torch.zeros_like(cut)
    whole = (~cut).nonzero().squeeze(1)
    alive[whole[batched_nms(boxes[whole].double(), found.scores[whole].double(), found.labels[whole], nms)]] = True
    areas = area(boxes)
    parts = cut.nonzero().squeeze(1)
    for k in parts[found.scores[parts].argsort(descending=True, stable=True)].tolist():
        rivals = (alive & (found.labels == found.labels[k])).nonzero().squeeze(1)
        own = intersection(boxes[k : k + 1], boxes[rivals])[0]
        union = areas[k] + areas[rivals] - own
        alive[k] = not bool(((own > nms * union) | (own > PART * areas[k])).any())
    rows = alive.nonzero().squeeze(1)
    rows = rows[found.scores[rows].argsort(descending=True, stable=True)]
    return Detections(boxes[rows], found.scores[rows], found.labels[rows], found.size)
