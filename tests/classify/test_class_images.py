"""Image sets: held-out parts, decoding of odd images, messages that name the image."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detection.classify.images import ImageSet
from detection.errors import InputError


def encoded(array: np.ndarray, mode: str | None = None, suffix: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, suffix)
    return buffer.getvalue()


def a_set(count: int) -> ImageSet:
    """Image i is of the colour i, has the label i % 3 and the name i."""
    pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 2, 2))
    return ImageSet(("a", "b", "c"), np.arange(count, dtype=np.int64) % 3, [str(i) for i in range(count)], pixels)


def names_of(images: ImageSet) -> list[str]:
    return [images.name(row) for row in range(len(images))]


def images_of(*contents: bytes) -> ImageSet:
    names = [f"image {i}" for i in range(len(contents))]
    return ImageSet(("a",), np.zeros(len(contents), dtype=np.int64), names, None, list(contents))


@given(count=st.integers(1, 40), share=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 2**32 - 1))
def test_holding_out_splits_the_set_in_two(count, share, seed):
    images, held = a_set(count), int(count * share)
    train, rest = images.hold_out(held, seed)
    assert len(rest) == held
    assert sorted([*names_of(train), *names_of(rest)], key=int) == names_of(images)
    for part in (train, rest):  # labels, names and pixels stay together
        rows = [int(name) for name in names_of(part)]
        assert part.labels.tolist() == [row % 3 for row in rows]
        assert part.pixels[:, 0, 0, 0].tolist() == rows
    assert names_of(images.hold_out(held, seed)[1]) == names_of(rest)


@pytest.mark.parametrize("count", [-1, 5, 6])
def test_holding_out_everything_is_refused(count):
    with pytest.raises(InputError, match="of 5 images cannot be held out; hold out between 0 and 4"):
        a_set(5).hold_out(count, 0)


def test_every_mode_becomes_rgb():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    same = np.broadcast_to(grey, (3, 3, 4))
    deep = encoded(grey.astype(np.uint16) * 257)
    for content in (encoded(grey), encoded(grey, "RGB"), encoded(grey, "RGBA"), encoded(grey, "P"), deep):
        np.testing.assert_array_equal(images_of(content).image(0), same)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_does_not_decode_is_named(monkeypatch, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encoded(noise, suffix="JPEG")
    floats = encoded(noise[..., 0].astype(np.float32), suffix="TIFF")
    images = images_of(content, b"", b"text", content[: len(content) // 2], floats)
    for row, why in ((1, "not an image"), (2, "not an image"), (3, "cannot be decoded"), (4, "float pixels")):
        with pytest.raises(InputError, match=f"^image {row}: .*{why}.*; .*$"):
            images.image(row)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1599)
    with pytest.raises(InputError, match=r"^image 0: too large \(40x40 .*scale the image down$"):
        images.image(0)
    gone = ImageSet(("a",), np.zeros(1, dtype=np.int64), ["gone.png"], None, tmp_path)
    with pytest.raises(InputError, match=r"^.*/gone.png: there is no such image file"):
        gone.image(0)


def test_the_mean_colour_of_pixels_and_of_encoded_images():
    colours = np.array([[10, 0, 255], [21, 0, 0], [30, 3, 0]], dtype=np.uint8)
    pixels = np.broadcast_to(colours[:, :, None, None], (3, 3, 2, 2))
    contents = [encoded(np.ascontiguousarray(p.transpose(1, 2, 0))) for p in pixels]
    held = ImageSet(("a",), np.zeros(3, dtype=np.int64), list("abc"), pixels)
    assert held.mean_colour() == images_of(*contents).mean_colour() == (20, 1, 85)
    sampled = images_of(*contents * 1000).mean_colour()  # a third of 3000 images
    assert np.abs(np.subtract(sampled, (20, 1, 85))).max() <= 8
