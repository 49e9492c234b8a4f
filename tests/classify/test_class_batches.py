"""Batches: the same for any number of workers, errors in one line, no thread or random state left behind."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD
from detection.classify.augment import CropAugmentation, colour_shift, pad_crop
from detection.classify.batches import normalise, training_batches
from detection.classify.images import ImageSet
from detection.errors import InputError

LABELS = np.array([0, 1, 2, 1], dtype=np.int64)
ORDER = [[(0, 11), (3, 2**32 - 1)], [(2, 5), (0, 12)], [(1, 11)]]


def held(size: int = 32) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, size, size), dtype=np.uint8)
    return ImageSet(("a", "b", "c"), LABELS, list("wxyz"), pixels)


def encoded() -> ImageSet:
    images, contents = held(), []
    for row in range(4):
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(images.image(row).transpose(1, 2, 0))).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    return ImageSet(images.class_names, LABELS, images.names, None, list(contents))


@pytest.mark.parametrize("kind", ["pad", "scale", "area"])
def test_batches_are_the_same_however_the_work_is_shared(kind):
    made = CropAugmentation(kind, 24, (24, 40), pca=0.1)
    state = torch.get_rng_state()
    ways = [
        list(training_batches(images, made, ORDER, workers)) for images in (held(), encoded()) for workers in (0, 2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    for batches in ways:
        assert [batch.labels.tolist() for batch in batches] == [[0, 1], [2, 0], [1]]
        for batch, first in zip(batches, ways[0]):
            assert torch.equal(batch.pixels, first.pixels) and torch.equal(batch.shifts, first.shifts)
    crops = [(draw, batch.pixels[i]) for draws, batch in zip(ORDER, ways[0]) for i, draw in enumerate(draws)]
    for (row, seed), crop in crops:
        np.testing.assert_array_equal(crop, made(held().image(row), seed))


def test_the_cifar_recipe_in_whole_batches():
    batch = next(training_batches(held(), CropAugmentation("pad", 32, pca=0.2, fill=(1, 2, 3)), ORDER, 0))
    seeds = np.array([11, 2**32 - 1])
    np.testing.assert_array_equal(batch.pixels, pad_crop(held().pixels[[0, 3]], seeds, 4, 32, True, (1, 2, 3)))
    np.testing.assert_array_equal(batch.shifts, colour_shift(seeds, 0.2))
    assert next(training_batches(held(), CropAugmentation("pad", 32), ORDER, 0)).shifts is None


def test_normalising_shifts_and_scales_into_channels_last():
    pixels = torch.from_numpy(held().pixels)
    shifts = torch.arange(12.0).view(4, 3)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    for given, added in ((None, 0), (shifts, shifts[:, :, None, None])):
        found = normalise(pixels, given)
        assert found.is_contiguous(memory_format=torch.channels_last) and found.dtype == torch.float32
        torch.testing.assert_close(found, (pixels + added - mean) / std, atol=1e-5, rtol=1e-5)


def failing():
    yield ORDER[0]
    raise RuntimeError("no more")


def test_the_thread_passes_its_error_on_and_ends():
    made = CropAugmentation("pad", 32)
    batches = training_batches(held(), made, failing(), 0)
    next(batches)
    with pytest.raises(RuntimeError, match="no more"):
        next(batches)
    with pytest.raises(InputError, match="8x8 pixels padded by 4 are fewer than the crop of 32; pad more"):
        next(training_batches(held(8), made, ORDER, 0))
    endless = training_batches(held(), made, iter(lambda: ORDER[0], None), 0)
    next(endless)
    endless.close()
    assert "training_batches" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_named_in_one_line(workers):
    images = encoded()
    broken = ImageSet(images.class_names, LABELS, images.names, None, [*images.encoded[:2], b"?", images.encoded[3]])
    batches = training_batches(broken, CropAugmentation("scale", 24, (24, 40)), ORDER, workers)
    next(batches)
    with pytest.raises(InputError, match=r"^y: not an image that Pillow can read; replace or remove the file$"):
        next(batches)
