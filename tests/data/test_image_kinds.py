"""Images of rarer kinds: each is read right, or refused by name."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from detection.data.image import bits_in_use, boxes_upright, image_size, orientation_of, read_image
from detection.errors import InputError
from detection.files.tiff import LARGEST, SMALLEST, SUBFILE, WHITE_IS_ZERO

QUARTERS = np.kron(np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 200]]]), np.ones((16, 24, 1)))
PICTURE = QUARTERS.astype(np.uint8)


def tiff(path: Path, values: np.ndarray, **tags: int) -> Path:
    """A TIFF (H, W, C), written here by its specification: one strip, little-endian, the tags in order."""
    height, width, channels = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    entries = {
        256: width,
        257: height,
        259: 1,
        262: 1,
        273: 8,
        277: channels,
        278: height,
        279: values.nbytes,
        339: kind,
    }
    entries |= {258: values.itemsize * 8} | {int(tag): value for tag, value in tags.items()}
    place = 8 + values.nbytes
    many = struct.pack(f"<{channels}H", *[values.itemsize * 8] * channels)
    told = b""
    for tag, value in sorted(entries.items()):
        if tag == 258 and channels > 2:
            told += struct.pack("<HHII", tag, 3, channels, place + 2 + 12 * len(entries) + 4)
        elif tag == 258 and channels == 2:
            told += struct.pack("<HHI", tag, 3, 2) + many
        else:
            told += struct.pack("<HHII", tag, 4, 1, value)
    start = place + place % 2
    body = values.tobytes() + b"\0" * (place % 2)
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, start) + body + struct.pack("<H", len(entries)) + told + bytes(4) + many
    )
    return path


@pytest.mark.parametrize(("ending", "options"), [("avif", {"quality": 95}), ("jp2", {}), ("jfif", {"format": "JPEG"})])
def test_further_formats_have_their_pixels(tmp_path, ending, options):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(PICTURE).save(path, **options)
    pixels = read_image(path)
    assert image_size(path) == (32, 48) and np.abs(pixels.astype(int) - PICTURE)[4:12, 4:20].max() <= 6


def turned_by_exif(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PICTURE).save(path, quality=95, exif=exif)
    return path


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_avif_is_turned_upright_once(tmp_path, orientation):
    path = turned_by_exif(tmp_path / "a.avif", orientation)
    wanted = {1: PICTURE, 3: PICTURE[::-1, ::-1], 6: np.rot90(PICTURE, -1), 8: np.rot90(PICTURE)}[orientation]
    pixels = read_image(path)
    assert image_size(path) == pixels.shape[:2] == wanted.shape[:2]
    assert np.abs(pixels.astype(int) - wanted)[4:12, 4:12].max() <= 8


def test_heic_is_turned_by_its_own_word_and_not_by_exif(tmp_path):
    """ISO 23008-12: the file's own rotation counts, which libheif has applied; EXIF only repeats it."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = turned_by_exif(tmp_path / "a.heic", 6)
    pixels = read_image(path)
    assert image_size(path) == (32, 48) and np.abs(pixels.astype(int) - PICTURE)[4:12, 4:20].max() <= 8


def test_heic_without_its_library_is_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r"a.heic: is HEIC, which needs pillow-heif: pip install"):
        image_size(path)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_colours_of_16_bits_follow_the_bits_in_use(tmp_path, ending):
    """Pillow keeps the upper 8 bits alone: of a 12-bit camera that is a sixteenth of the light."""
    path, wide = tmp_path / f"a.{ending}", PICTURE.astype(np.uint16)
    cv2.imwrite(str(path), wide[..., ::-1] * 257)
    assert np.array_equal(read_image(path), PICTURE) and bits_in_use(path) is None
    cv2.imwrite(str(path), np.rint(wide[..., ::-1] * (4095 / 255)).astype(np.uint16))
    assert np.array_equal(read_image(path, grey_bits=12), PICTURE) and bits_in_use(path) == 12
    assert read_image(path).max() < 16


def test_a_wide_tiff_is_turned_upright(tmp_path):
    for orientation, turns in ((6, -1), (8, 1), (3, 2)):
        path = tiff(tmp_path / "a.tif", PICTURE.astype(np.uint16) * 257, **{"262": 2, "274": orientation})
        pixels = read_image(path)
        assert np.array_equal(pixels, np.rot90(PICTURE, turns)) and image_size(path) == pixels.shape[:2]


def test_grey_tiffs_whose_white_is_zero(tmp_path):
    grey = PICTURE[..., :1].astype(np.uint16)
    path = tiff(tmp_path / "a.tif", 65535 - grey * 257, **{str(WHITE_IS_ZERO): 0})
    assert np.array_equal(read_image(path), np.repeat(PICTURE[..., :1], 3, axis=2))
    path = tiff(tmp_path / "b.tif", 4095 - np.rint(grey * (4095 / 255)).astype(np.uint16), **{str(WHITE_IS_ZERO): 0})
    assert np.array_equal(read_image(path, 12), np.repeat(PICTURE[..., :1], 3, axis=2))


def float_tiff(path: Path, values: np.ndarray, low: float | None, high: float | None) -> Path:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in ((SMALLEST, low), (LARGEST, high)):
        if value is not None:
            tags.tagtype[tag] = 12
            tags[tag] = value
    Image.fromarray(values.astype(np.float32)).save(path, tiffinfo=tags)
    return path


def test_floats_are_scaled_by_the_range_that_their_file_states(tmp_path):
    values = np.array([[-1.0, 0.0, 1.0], [0.5, -3.0, 9.0]])
    pixels = read_image(float_tiff(tmp_path / "a.tif", values, -1.0, 1.0))
    assert pixels[..., 0].tolist() == [[0, 128, 255], [191, 0, 255]]


@pytest.mark.parametrize(
    ("low", "high", "value", "message"),
    [(None, None, 0.5, "without a range"), (0, None, 0.5, "without a range"), (1, 1, 0.5, "without a range"),
     (0, 1, np.nan, "not finite")],
)  # fmt: skip
def test_floats_without_a_range_are_refused(tmp_path, low, high, value, message):
    path = float_tiff(tmp_path / "a.tif", np.full((4, 5), value), low, high)
    with pytest.raises(InputError, match=f"a.tif: float pixels.* {message}|a.tif: float pixels that are {message}"):
        read_image(path)


def test_a_tiff_of_several_pictures_is_refused_and_a_pyramid_is_not(tmp_path):
    first, path = Image.fromarray(PICTURE), tmp_path / "a.tif"
    first.save(path, save_all=True, append_images=[Image.fromarray(PICTURE[:, ::-1])] * 2)
    for read in (read_image, image_size):
        with pytest.raises(InputError, match="a.tif: is a TIFF of 3 pages"):
            read(path)
    small = first.resize((24, 16))
    small.encoderinfo = {"tiffinfo": {SUBFILE: 1}}
    first.save(path, save_all=True, append_images=[small])
    with Image.open(path) as written:
        written.seek(1)
        assert written.n_frames == 2 and written.tag_v2.get(SUBFILE) == 1
    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize(
    ("channels", "dtype", "message"),
    [
        (5, np.uint8, "has 5 channels, and the networks here take 3"),
        (2, np.uint16, "has 2 channels"),
        (1, np.float64, "has floats of 64 bits in 1 channel, which Pillow cannot read"),
    ],
)
def test_what_pillow_does_not_know_of_a_tiff_is_told(tmp_path, channels, dtype, message):
    path = tiff(tmp_path / "a.tif", np.zeros((4, 6, channels), dtype))
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_their_picture(tmp_path, orientation):
    stored = np.zeros((40, 60, 3), dtype=np.uint8)
    stored[5:17, 12:41] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert orientation_of(tmp_path / "a.png") == orientation
    box = boxes_upright(np.array([[12.0, 5, 29, 12]]), (40, 60), orientation)[0]
    rows, columns = np.nonzero(read_image(tmp_path / "a.png")[..., 0])
    assert box.tolist() == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
