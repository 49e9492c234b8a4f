"""From a draw to a sample, and the loaders that batch them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from detection.config.schema import InputConfig
from detection.data.augment import Augmentation
from detection.data.image import read_image, resize_image, resize_size, to_planes
from detection.data.index import AnnotationIndex
from detection.data.order import Draw
from detection.data.tiles import TiledIndex, tiled
from detection.errors import InputError
from detection.parallel import own_process_group
from detection.records import Sample, Target, collate

FEW_WHOLE = 0.1
"""Share of images on which all classes were annotated; below it the RPN would hardly learn what background is from
these alone, and takes the others for it too."""
STAND_INS = 10
"""Images tried in place of one that cannot be read."""


class DetectionDataset(Dataset[Sample]):
    """Images of an index with their targets, as the network takes them; with `input.tile` views of the images, of
    which everything else here speaks as images: `index` is that of the views, `tiles` says what they are views of, and
    `images` is the index that was given.

    Rules for boxes, in this order: they are cut at the image's edges; those with a side under `input.min_side` pixels
    are dropped; those of which augmentation leaves less than `input.min_visibility` in the picture become ignored
    regions, neither learned nor background, and so do crowd regions and difficult objects, whatever is left of them.

    proposals: of each image, (P, 4) float32 in its original pixels; they change with the image, and what augmentation
    leaves little of is dropped like a box. None where the network proposes itself.

    Classes that were not annotated in an image teach nothing there: the second stage learns of a region without an
    object that it is background or one of these, and the RPN learns of no anchor that it is background, unless fewer
    than FEW_WHOLE of the images would teach it that.

    Of a training image that cannot be read, `input.skip_unreadable` lets another one stand in, which follows from the
    draw alone: the same after a restart and for any number of processes.
    """

    def __init__(
        self, index: AnnotationIndex, config: InputConfig, training: bool, proposals: list[np.ndarray] | None = None
    ) -> None:
        self.images = index
        self.tiles = tiles_of(index, config)
        self.index = index if self.tiles is None else self.tiles.index
        self.min_side = config.min_side
        self.grey_bits = config.grey_bits
        self.long_side = config.long_side
        self.augment = Augmentation(config.augment if training else [], config.min_visibility)
        self.proposals = proposals
        self.replaces = training and config.skip_unreadable > 0
        self.spares_anchors = index.unjudged is not None and bool((~index.unjudged.any(axis=1)).mean() >= FEW_WHOLE)
        self._newest: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, draw: Draw) -> Sample:
        try:
            return self._sample(draw)
        except InputError as error:
            if not self.replaces:
                raise
            unreadable = {str(self.index.path(draw.row)): str(error)}
        # Only now: to shuffle the rows of a large dataset takes longer than to read an image.
        rows = np.random.default_rng((draw.seed, 1)).permutation(len(self))[:STAND_INS]
        for row in rows.tolist():
            try:
                return replace(self._sample(replace(draw, row=row)), unreadable=unreadable)
            except InputError as error:
                unreadable[str(self.index.path(row))] = str(error)
        raise InputError(
            f"{self.index.path(draw.row)}: cannot be read, and neither can {STAND_INS} others in its place; "
            "see `frcnn check-data`"
        )

    def _sample(self, draw: Draw) -> Sample:
        image = self._pixels(draw.row)
        original = (image.shape[0], image.shape[1])
        boxes, labels, ignored = self.annotations(draw.row, original)
        known = len(boxes)
        if self.proposals is not None:
            boxes = np.concatenate([boxes, self.proposals[draw.row]])
        try:
            changed = self.augment(image, boxes, draw.seed)
        except InputError as error:
            raise InputError(f"{self.index.path(draw.row)}: {error}") from error
        image, boxes, rows = changed.image, changed.boxes, changed.rows
        annotated = rows < known
        labels, ignored = labels[rows[annotated]], ignored[rows[annotated]] | ~changed.whole[annotated]
        size = (image.shape[0], image.shape[1])
        goal = resize_size(size, draw.short_side, self.long_side)
        image = resize_image(image, goal)
        boxes = boxes * np.array([goal[1] / size[1], goal[0] / size[0]] * 2, dtype=np.float32)
        boxes, proposals = boxes[annotated], boxes[~annotated & changed.whole]
        target = Target(
            torch.from_numpy(boxes[~ignored]),
            torch.from_numpy(labels[~ignored]),
            torch.from_numpy(boxes[ignored]),
            *self._unjudged(draw.row),
        )
        pixels = torch.from_numpy(to_planes(image))
        proposed = None if self.proposals is None else torch.from_numpy(proposals)
        return Sample(pixels, target, original, draw.row, proposed, draw.seed)

    def _pixels(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8. Views of an image come one after the other in evaluation, where it is decoded once."""
        path = self.index.path(row)
        if self.tiles is None:
            return read_image(path, self.grey_bits)
        image = int(self.tiles.rows[row])
        if self._newest is None or self._newest[0] != image:
            self._newest = image, read_image(path, self.grey_bits)
        x1, y1, x2, y2 = self.tiles.places[row].tolist()
        return np.ascontiguousarray(self._newest[1][y1:y2, x1:x2])

    def try_augmentation(self) -> None:
        """Raise `InputError` where the augmentation cannot work on the smallest image, on which crops fail first."""
        row = int(np.prod(self.index.sizes.astype(np.int64), axis=1).argmin())
        try:
            image = self._pixels(row)
        except InputError:  # which is for the reading to say, or to leave out
            return
        try:
            self.augment.try_out(image, self.annotations(row, (image.shape[0], image.shape[1]))[0])
        except InputError as error:
            raise InputError(f"{error} (tried on {self.index.path(row)})") from error

    def _unjudged(self, row: int) -> tuple[torch.Tensor | None, bool]:
        """`unjudged` and `background` of the target."""
        if self.index.unjudged is None or not self.index.unjudged[row].any():
            return None, True
        return torch.from_numpy(np.flatnonzero(self.index.unjudged[row])), not self.spares_anchors

    def annotations(self, row: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.index.rows(row)
        boxes = self.index.boxes(row).clip(0, [size[1], size[0]] * 2).astype(np.float32)
        large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= self.min_side
        ignored = self.index.crowd[rows] | self.index.difficult[rows]
        return boxes[large], self.index.labels[rows][large], ignored[large]


def tiles_of(index: AnnotationIndex, config: InputConfig) -> TiledIndex | None:
    """The views of the images where the network is to see tiles, else None."""
    if config.tile is None:
        return None
    return tiled(index, config.tile, config.tile_overlap, config.tile_visible)


def loader(
    dataset: DetectionDataset,
    order: Iterable[list[Draw]],
    workers: int,
    multiple: int,
    pin: bool,
    persistent: bool = False,
) -> DataLoader[Any]:
    """Batches of `dataset` in the given order; canvases have sides that are multiples of `multiple` pixels.
    persistent: the loading processes wait for the next pass over the batches."""
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=partial(collate, multiple=multiple),
        pin_memory=pin,
        worker_init_fn=_quiet_worker,
        prefetch_factor=4 if workers else None,
        persistent_workers=persistent and workers > 0,
    )


def _quiet_worker(_: int) -> None:
    """OpenCV under albumentations would start a thread per core in every loading process."""
    import cv2

    own_process_group()
    cv2.setNumThreads(0)
