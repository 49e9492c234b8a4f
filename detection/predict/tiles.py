"""Large images in tiles, for objects that would vanish if the whole image were shrunk to the network's input.

A tile that cuts through an object shows a part of it. Neighbouring tiles overlap, so that an object smaller than the
overlap is whole in one of them; larger ones are found in the whole image, which is looked at too. What is found at a
cut gives way to what was found whole (as SAHI's matching by the smaller area does, Akyon et al. 2022, but for parts
alone: a small object on a large one is no part of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.ops import batched_nms

from detection.geometry.boxes import area, clip, intersection
from detection.geometry.tiling import Place, views
from detection.records import Detections, Size

AT_CUT = 2.0
"""Pixels from a cut within which a box ends there."""
PART = 0.5
"""Share of a part's area that a box must cover to be the whole of it."""


@dataclass(frozen=True)
class Tiles:
    """An image cut up: what the detector takes of each tile, and where it lies."""

    inputs: list[Any]
    places: list[Place]
    size: Size


@dataclass(frozen=True)
class TiledDetector:
    """A detector that looks at tiles of an image, and at the whole of it.

    detector: whatever has `prepare` and `detect`; tile: side in pixels of the image; overlap: share of it; nms: IoU
    above which the weaker of two detections of a class is dropped.
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

    def prepare(self, image: np.ndarray) -> Tiles:
        size = (image.shape[0], image.shape[1])
        places = views(size, self.tile, self.overlap)
        crops = (np.ascontiguousarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in places)
        return Tiles([self.detector.prepare(crop) for crop in crops], places, size)

    def detect(self, images: Sequence[Tiles]) -> list[Detections]:
        """Tile by tile, so that memory does not grow with the image."""
        return [self._one(image) for image in images]

    def _one(self, image: Tiles) -> Detections:
        found = [self.detector.detect([given])[0] for given in image.inputs]
        return together(found, image.places, image.size, self.nms)


def together(found: Sequence[Detections], places: Sequence[Place], size: Size, nms: float = 0.5) -> Detections:
    """What was found in each of the `views` of an image of `size`, in the pixels of the image, each object once; see
    `merged`."""
    boxes, cut = [], []
    for own, place in zip(found, places, strict=True):
        boxes.append(own.boxes + own.boxes.new_tensor([place[0], place[1], place[0], place[1]]))
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
