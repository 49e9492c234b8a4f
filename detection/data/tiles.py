"""The tiles of large images as images of their own, with the objects that they show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from detection.data.index import AnnotationIndex
from detection.geometry.tiling import views


@dataclass(frozen=True)
class TiledIndex:
    """V views of N images: the tiles of each, and the whole of it where it has several.

    index: of the views, each as an image whose file is that of the whole; rows: (V,) int64, the image of each, rising;
    places: (V, 4) int64, x1 y1 x2 y2 of each in its image.
    """

    index: AnnotationIndex
    rows: np.ndarray
    places: np.ndarray

    def empty(self) -> np.ndarray:
        """(V,) bool: views that show no object to learn."""
        index = self.index
        learned = np.concatenate([[0], np.cumsum(~(index.crowd | index.difficult))])
        return learned[index.offsets[1:]] == learned[index.offsets[:-1]]


def tiled(index: AnnotationIndex, tile: int, overlap: float, visible: float) -> TiledIndex:
    """The views of all images, see `detection.geometry.tiling.views`.

    A view has every object of which anything lies in it, cut at its edges. Less than the share `visible` of what the
    image shows of an object is marked difficult: neither an object to learn nor background.
    """
    places = [np.array(views((h, w), tile, overlap), dtype=np.int64) for h, w in index.sizes.tolist()]
    starts = np.cumsum([0, *(len(own) for own in places)])
    cuts = [_cut(index, row, own, int(start)) for row, (own, start) in enumerate(zip(places, starts[:-1]))]
    cuts.append(_Cut(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 4)), np.empty(0)))
    view, which, boxes, share = (np.concatenate(part) for part in zip(*cuts))
    image, place = np.repeat(np.arange(len(index)), np.diff(starts)), np.concatenate([np.empty((0, 4), int), *places])
    found = replace(
        index,
        image_ids=np.arange(len(image), dtype=np.int64),
        file_names=index.file_names[image],
        sizes=(place[:, [3, 2]] - place[:, [1, 0]]).astype(np.int32),
        offsets=np.searchsorted(view, np.arange(len(image) + 1)),
        xywh=boxes,
        labels=index.labels[which],
        areas=index.areas[which] * share,
        annotation_ids=index.annotation_ids[which],
        crowd=index.crowd[which],
        difficult=index.difficult[which] | (share < visible),
        unjudged=None if index.unjudged is None else index.unjudged[image],
    )
    return TiledIndex(found, image, place)


class _Cut(NamedTuple):
    """The m annotations of the views of an image, views in order: (m,) the view; (m,) the annotation; (m, 4) x y width
    height in the view; (m,) the share of what the image shows of it."""

    view: np.ndarray
    which: np.ndarray
    boxes: np.ndarray
    share: np.ndarray


def _cut(index: AnnotationIndex, row: int, places: np.ndarray, first: int) -> _Cut:
    """places: (v, 4) of the views of image `row`, which are numbered from `first`."""
    xywh, frame = index.xywh[index.rows(row)], index.sizes[row][::-1]
    low, high = np.clip(xywh[:, :2], 0, frame), np.clip(xywh[:, :2] + xywh[:, 2:], 0, frame)
    start = np.maximum(low, places[:, None, :2])  # (v, n, 2)
    sides = np.minimum(high, places[:, None, 2:]) - start
    view, which = np.nonzero((sides > 0).all(axis=2))
    sides = sides[view, which]
    boxes = np.concatenate([start[view, which] - places[view, :2], sides], axis=1)
    share = sides.prod(axis=1) / (high - low).prod(axis=1)[which]
    return _Cut(view + first, which + int(index.offsets[row]), boxes, share)
