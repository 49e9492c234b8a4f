"""Augmentation against the obvious way to do it, one image at a time."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.classify.augment import (
    CROPS,
    PCA_VALUES,
    PCA_VECTORS,
    CropAugmentation,
    area_crop,
    colour_shift,
    pad_crop,
    scale_crop,
    scaled_size,
)
from detection.classify.images import picture_of, planes
from detection.files.decode import open_image

SEEDS = st.integers(0, 2**32 - 1)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8)


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pad=st.integers(0, 3),
    less=st.integers(0, 8),
    flip=st.booleans(),
    seeds=st.lists(SEEDS, min_size=0, max_size=5),
)
def test_pad_crop_is_padding_cropping_and_mirroring_each_image(size, pad, less, flip, seeds):
    height, width = size
    crop = max(min(height, width) + 2 * pad - less, 1)
    pixels = noise(height, width * len(seeds)).reshape(3, height, len(seeds), width).transpose(2, 0, 1, 3)
    fill = (1, 2, 3)
    found = pad_crop(pixels, np.array(seeds, dtype=np.uint32), pad, crop, flip, fill)
    assert found.shape == (len(seeds), 3, crop, crop)
    down, across = height + 2 * pad - crop + 1, width + 2 * pad - crop + 1
    for image, seed, got in zip(pixels, seeds, found):
        padded = np.stack([np.pad(c, pad, constant_values=f) for c, f in zip(image, fill)])
        top, left = seed % down, seed // down % across
        expected = padded[:, top : top + crop, left : left + crop]
        if flip and seed // down // across % 2:
            expected = expected[..., ::-1]
        np.testing.assert_array_equal(got, expected)


def test_every_offset_of_the_cifar_recipe_is_equally_likely():
    """A marked pixel of a 32x32 image shows where the crop was taken."""
    pixels = np.zeros((10000, 3, 32, 32), dtype=np.uint8)
    pixels[:, :, 16, 16] = 1
    seeds = np.random.default_rng(0).integers(2**32, size=10000)
    _, rows, columns = np.nonzero(pad_crop(pixels, seeds, 4, 32, True, (0, 0, 0))[:, 0])
    counts = np.zeros((9, 10))
    np.add.at(counts, (rows - 12, columns - 11), 1)
    left, right = counts[:, :1], counts[:, -1:]  # one mirrored, one not: each half as frequent as the others
    assert abs(counts[:, 1:-1].mean() - 10000 / 81) < 10
    assert abs(np.concatenate([left, right]).mean() - 5000 / 81) < 10
    assert counts.std(axis=0).max() < 40


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    crop=st.integers(5, 24),
    more=st.integers(0, 20),
    seed=SEEDS,
)
def test_scale_crop_is_resizing_then_cropping(size, crop, more, seed):
    picture = picture_of(noise(*size))
    found = scale_crop(picture, seed, (crop, crop + more), crop, True)
    random = np.random.default_rng(seed)
    width, height = scaled_size(picture.size, int(random.integers(crop, crop + more + 1)))
    x, y = int(random.integers(width - crop + 1)), int(random.integers(height - crop + 1))
    expected = planes(picture.resize((width, height), Image.Resampling.BILINEAR))[:, y : y + crop, x : x + crop]
    if random.integers(2):
        expected = expected[..., ::-1]
    # Pillow holds the box in float32, so a weight may round the other way.
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_area_crop_takes_the_parts_that_the_paper_describes():
    """Red and green rise linearly over the image: the crop's range of each is the extent of the part."""
    ramp = np.linspace(0, 255, 200)
    image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 0 * ramp)).round().astype(np.uint8)
    parts = np.stack([area_crop(image, seed, 24, True) for seed in range(400)]).astype(float)
    # The outer pixels' centres lie half a pixel of the crop inside.
    across = np.abs(parts[:, 0, 12, -1] - parts[:, 0, 12, 0]) / 255 * 24 / 23
    down = (parts[:, 1, -1, 12] - parts[:, 1, 0, 12]) / 255 * 24 / 23
    area, aspect = across * down, across / down
    assert 0.06 < area.min() < 0.12 and 0.85 < area.max() < 1.05 and 0.45 < area.mean() < 0.55
    assert 0.7 < aspect.min() < 0.78 and 1.28 < aspect.max() < 1.42
    mirrored = (parts[:, 0, 12, -1] < parts[:, 0, 12, 0]).mean()
    assert 0.4 < mirrored < 0.6


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
@pytest.mark.parametrize("kind", [k for k in CROPS if k != "pad"])
def test_no_image_is_too_thin(kind, size):
    made = CropAugmentation(kind, 16, (16, 20))
    assert made(noise(*size), 7).shape == (3, 16, 16)


def test_a_large_jpeg_is_decoded_small_but_never_below_what_is_needed():
    smooth = picture_of(noise(6, 9)).resize((900, 600), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    smooth.save(buffer, "JPEG", quality=95)
    for seed in range(20):
        opened = open_image(buffer.getvalue())
        small = scale_crop(opened, seed, (64, 160), 64, True)
        needed = np.random.default_rng(seed).integers(64, 161)
        assert min(opened.size) == min(side for side in (75, 150, 300, 600) if side >= needed)
        whole = scale_crop(planes(open_image(buffer.getvalue())), seed, (64, 160), 64, True)
        assert np.abs(small.astype(int) - whole).mean() < 3
        part = open_image(buffer.getvalue())
        small = area_crop(part, seed, 64, True)
        whole = area_crop(planes(open_image(buffer.getvalue())), seed, 64, True)
        assert np.abs(small.astype(int) - whole).mean() < 3


def test_colour_shifts_have_the_spread_of_imagenets_colours():
    shifts = colour_shift(np.arange(4000), 0.1).astype(float)
    vectors = np.array(PCA_VECTORS)
    expected = vectors @ np.diag((255 * 0.1 * np.array(PCA_VALUES)) ** 2) @ vectors.T
    np.testing.assert_allclose(np.cov(shifts.T), expected, rtol=0.1)
    assert np.abs(shifts.mean(0)).max() < 0.2
    np.testing.assert_array_equal(colour_shift(np.array([7, 5]), 0.1), colour_shift(np.array([5, 7]), 0.1)[::-1])
    assert colour_shift(np.array([], dtype=np.int64), 0.1).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "crop"}, "augmentation 'crop' is unknown; known are pad, scale, area"),
        ({"kind": "scale", "short_sides": (32, 20)}, "not in order"),
        ({"kind": "scale", "short_sides": (16, 40)}, "below the crop of 32"),
        ({"kind": "pad", "pad": -1}, "at least 0"),
        ({"kind": "pad", "fill": (0, 0, 256)}, "outside 0..255"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CropAugmentation(**{"crop": 32, **arguments})
