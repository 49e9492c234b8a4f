"""From image sets to batches: augmented ones for training, views for testing, normalised on the device.

ImageBatch: pixels (B, 3, c, c) uint8, labels (B,) int64, shifts (B, 3) float32 or None
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD
from detection.classify.augment import CropAugmentation, colour_shift, pad_crop
from detection.classify.images import ImageSet
from detection.errors import InputError
from detection.files.decode import decoding, to_rgb
from detection.parallel import own_process_group

Order = Iterable[list[tuple[int, int]]]
"""Batches of (row, seed): an image of the set, and the seed of its augmentation in 0..2**32-1."""

Views = Callable[[Image.Image], list[np.ndarray]]
"""An RGB image to its views: for each of their sizes (V, 3, h, w) uint8."""

AHEAD = 2
"""Batches made before they are asked for."""


@dataclass(frozen=True)
class ImageBatch:
    """pixels: (B, 3, c, c) uint8 RGB. labels: (B,) int64. shifts: (B, 3) float32 on the 0..255 scale, or None."""

    pixels: Tensor
    labels: Tensor
    shifts: Tensor | None = None

    def to(self, device: torch.device | str) -> ImageBatch:
        """On `device`; the copy from pinned memory does not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> ImageBatch:
        """In page-locked memory; the name is the one that torch's loader looks for."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> ImageBatch:
        shifts = None if self.shifts is None else change(self.shifts)
        return ImageBatch(change(self.pixels), change(self.labels), shifts)


def normalise(pixels: Tensor, shifts: Tensor | None = None) -> Tensor:
    """(B, 3, H, W) uint8 -> float32, channels last: (pixels + shifts - mean) / std with ImageNet's mean and std.

    shifts: (B, 3) float32 on the 0..255 scale.
    """
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device)
    scale = 1 / torch.tensor(IMAGENET_STD, device=pixels.device)
    offset = (-mean if shifts is None else shifts - mean) * scale
    x = pixels.to(torch.float32, memory_format=torch.channels_last)
    return torch.addcmul(offset.view(-1, 3, 1, 1), x, scale.view(3, 1, 1))


def training_batches(
    images: ImageSet, augmentation: CropAugmentation, order: Order, workers: int, pin: bool = False
) -> Iterator[ImageBatch]:
    """The batches of `order`, augmented; the same for any number of workers.

    Padding and cropping a set held in memory costs less than sending it between processes: a thread of this one does
    it. Everything else is decoded and cropped by `workers` processes, or here where there are none. With `pin`, the
    batches are in page-locked memory. Raises `InputError` for an image that does not decode.
    """
    if images.pixels is not None and augmentation.kind == "pad":
        return _ahead(partial(_padded_batches, images, augmentation, order, pin))
    loader = _loader(_Augmented(images, augmentation), order, _collate, workers, pin)
    return _unless_failed(loader)


def grouped_views(images: ImageSet, views: Views, batch: int, workers: int) -> Iterator[list[tuple[list[int], Tensor]]]:
    """The views of the images in turn, `batch` images at a time, as lists of (rows, (n, V, 3, h, w) uint8).

    Each list holds all the views of its images: rows of one size that follow each other share a tensor, and an image
    comes once for each size of its views. `views` is called in worker processes. Raises `InputError` for an image
    that does not decode.
    """
    rows = [list(range(i, min(i + batch, len(images)))) for i in range(0, len(images), batch)]
    return _unless_failed(_loader(_Viewed(images, views), rows, _collate_views, workers, False))


def _padded_batches(images: ImageSet, made: CropAugmentation, order: Order, pin: bool) -> Iterator[ImageBatch]:
    assert images.pixels is not None
    for draws in order:
        rows = np.array([row for row, _ in draws], dtype=np.int64)
        seeds = np.array([seed for _, seed in draws], dtype=np.int64)
        crops = pad_crop(images.pixels[rows], seeds, made.pad, made.crop, made.flip, made.fill)
        batch = _batch(crops, images.labels[rows], seeds, made)
        yield batch.pin_memory() if pin else batch


def _batch(crops: np.ndarray, labels: np.ndarray, seeds: np.ndarray, made: CropAugmentation) -> ImageBatch:
    shifts = torch.from_numpy(colour_shift(seeds, made.pca)) if made.pca else None
    return ImageBatch(torch.from_numpy(crops), torch.from_numpy(labels), shifts)


class _Augmented(Dataset):
    """(row, seed) -> crop, label, seed; an error is an item, as torch would wrap a traceback around one raised."""

    def __init__(self, images: ImageSet, augmentation: CropAugmentation) -> None:
        self.images, self.augmentation = images, augmentation

    def __getitem__(self, draw: tuple[int, int]) -> tuple[np.ndarray, int, int, CropAugmentation] | InputError:
        row, seed = draw
        try:
            with decoding(self.images.called(row)), self.images.picture(row) as picture:
                crop = self.augmentation(picture, seed)
        except InputError as error:
            return error
        return crop, int(self.images.labels[row]), seed, self.augmentation


def _collate(items: list) -> ImageBatch | InputError:
    failed = [item for item in items if isinstance(item, InputError)]
    if failed:
        return failed[0]
    crops, labels, seeds, made = zip(*items)
    return _batch(np.stack(crops), np.array(labels, dtype=np.int64), np.array(seeds, dtype=np.int64), made[0])


class _Viewed(Dataset):
    """row -> row and its views, or the error as an item, as in `_Augmented`."""

    def __init__(self, images: ImageSet, views: Views) -> None:
        self.images, self.views = images, views

    def __getitem__(self, row: int) -> tuple[int, list[np.ndarray]] | InputError:
        try:
            with decoding(self.images.called(row)), self.images.picture(row) as picture:
                return row, self.views(to_rgb(picture))
        except InputError as error:
            return error


def _collate_views(items: list) -> list[tuple[list[int], Tensor]] | InputError:
    failed = [item for item in items if isinstance(item, InputError)]
    if failed:
        return failed[0]
    groups = []
    for size in range(len(items[0][1])):
        ofsize = [(row, views[size]) for row, views in items]
        for _, group in groupby(ofsize, key=lambda member: member[1].shape):
            rows, views = zip(*group)
            groups.append((list(rows), torch.from_numpy(np.stack(views))))
    return groups


def _loader(dataset: Dataset, order: Iterable[list], collate: Callable, workers: int, pin: bool) -> DataLoader:
    # Its own generator: the loader draws a seed for its workers, which must not move torch's global one.
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        generator=torch.Generator(),
        worker_init_fn=own_process_group,
    )


def _unless_failed(loader: DataLoader) -> Iterator:
    for made in loader:
        if isinstance(made, InputError):
            raise made
        yield made


def _ahead(start: Callable[[], Iterator[ImageBatch]]) -> Iterator[ImageBatch]:
    """What `start()` yields, made by a thread up to `AHEAD` batches early. It ends with this generator; what it raises
    is raised here."""
    ready: queue.Queue[ImageBatch | BaseException | None] = queue.Queue(AHEAD)
    closing = threading.Event()

    def work() -> None:
        try:
            for batch in start():
                ready.put(batch)
                if closing.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # whatever it is, the reader waits for it
            ready.put(error)

    thread = threading.Thread(target=work, name="training_batches", daemon=True)
    thread.start()
    try:
        while (made := ready.get()) is not None:
            if isinstance(made, BaseException):
                raise made
            yield made
    finally:
        closing.set()
        while thread.is_alive():  # it may be waiting for room in the queue
            try:
                ready.get(timeout=0.01)
            except queue.Empty:
                continue
        thread.join()
