from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data.image import as_rgb, bits_in_use, image_size, read_image, resize_image, resize_size, to_planes
from detection.errors import InputError


def test_resize_matches_detectron2(references: Path) -> None:
    cases = json.loads((references / "primitives/primitives.json").read_text())["resize_sizes"]
    for case in cases:
        size = resize_size((case["h"], case["w"]), case["short"], case["max_size"])
        assert list(size) == case["detectron2"], case
    values = np.load(references / "primitives/primitives.npz")
    for name in ("resize_down", "resize_up", "resize_mixed"):
        wanted = values[name]
        assert np.abs(resize_image(values["resize_in"], wanted.shape[:2]).astype(int) - wanted).max() <= 1, name


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 90)] * 4),
    seed=st.integers(0, 99),
    laid_out=st.sampled_from(["rows", "planes", "mirrored"]),
)
def test_resize_is_pillows_to_within_one_level(sizes: tuple[int, ...], seed: int, laid_out: str) -> None:
    image = np.random.default_rng(seed).choice(np.array([0, 255, 128, 3], np.uint8), (*sizes[:2], 3))
    if laid_out == "planes":
        image = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    elif laid_out == "mirrored":
        image = image[:, ::-1]
    goal = (sizes[2], sizes[3])
    resized = resize_image(image, goal)
    pillow = Image.fromarray(np.ascontiguousarray(image)).resize(goal[::-1], Image.Resampling.BILINEAR)
    assert resized.dtype == np.uint8 and np.abs(resized.astype(int) - np.asarray(pillow)).max() <= 1
    planes = to_planes(resized)
    assert planes.flags.c_contiguous and np.array_equal(planes, resized.transpose(2, 0, 1))


def jpeg(size: tuple[int, int] = (37, 23), **options: Any) -> bytes:
    buffer = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"keep_rgb": True}, {"quality": 5}]
)
def test_a_jpeg_has_pillows_pixels(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(**options))
    pixels = read_image(path)
    assert np.array_equal(pixels, np.asarray(Image.open(path))) and pixels.flags.writeable


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(2, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_jpeg_reads_or_fails_as_by_pillow(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], place: int, byte: int, cut: bool
) -> None:
    content = bytearray(jpeg())
    place %= len(content)
    content[place] = byte
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:place] if cut else content)
    try:
        with Image.open(path) as image:
            pillow = np.asarray(image.convert("RGB")) if image.mode in ("RGB", "L") else None
    except Exception:
        with pytest.raises(InputError, match=r"a\.jpg: "):
            read_image(path)
    else:
        if pillow is not None:
            assert np.array_equal(read_image(path), pillow)
    assert capfd.readouterr() == ("", "")


def test_resize_never_gives_an_empty_side() -> None:
    assert resize_size((1, 5000), 800, 1333) == (1, 1333)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tiff"])
def test_images_are_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :8] = 255
    stored = {  # how a camera stores what must be shown as `upright`
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    pixels = read_image(path)
    assert image_size(path) == pixels.shape[:2] == (16, 32)
    assert np.abs(pixels.astype(int) - upright).max() < 60 and pixels.flags.c_contiguous and pixels.flags.writeable


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"

    def read(image: Image.Image) -> list[int]:
        image.save(path)
        pixels = read_image(path)
        assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8
        return pixels[0, 0].tolist()

    assert read(Image.new("L", (3, 2), 77)) == [77, 77, 77]
    assert read(Image.new("1", (3, 2), 1)) == [255, 255, 255]
    assert read(Image.new("LA", (3, 2), (77, 0))) == [77, 77, 77]
    assert read(Image.new("RGBA", (3, 2), (9, 8, 7, 0))) == [9, 8, 7], "alpha is dropped, not composited"
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.info["transparency"] = b"\x00\x80"
    assert read(palette) == [10, 20, 30]
    assert read(Image.fromarray(np.full((2, 3), 25700, dtype=np.uint16))) == [100, 100, 100]
    path = tmp_path / "a.tiff"
    assert read(Image.fromarray(np.full((2, 3), 1_000_000, dtype=np.int32))) == [255, 255, 255]
    assert read(Image.fromarray(np.full((2, 3), -5, dtype=np.int32))) == [0, 0, 0]
    assert read(Image.new("CMYK", (3, 2), (0, 255, 255, 0))) == [255, 0, 0]
    with pytest.raises(InputError, match="a.tiff: float pixels"):
        read(Image.fromarray(np.zeros((2, 3), dtype=np.float32)))


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "tiff", "webp"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str) -> None:
    buffer = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3])
    with pytest.raises(InputError, match=f"cut.{kind}: "):
        read_image(path)


@pytest.mark.filterwarnings("ignore:Image size")  # Pillow's own, before we refuse
def test_missing_foreign_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="gone.jpg: there is no such image file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(tmp_path)
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(InputError, match="text.jpg: not an image"):
        image_size(tmp_path / "text.jpg")
    Image.new("L", (20, 20)).save(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 399)
    with pytest.raises(InputError, match="big.png: too large .*399 pixels"):
        read_image(tmp_path / "big.png")


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (COLOUR, COLOUR),
        (COLOUR[:, ::-1], COLOUR[:, ::-1]),
        (np.asfortranarray(COLOUR), COLOUR),
        (np.dstack([COLOUR, GREY]), COLOUR),
        (GREY, np.dstack([GREY] * 3)),
        (GREY[..., None], np.dstack([GREY] * 3)),
        (Image.fromarray(COLOUR), COLOUR),
        (Image.fromarray(GREY), np.dstack([GREY] * 3)),
    ],
)
def test_what_has_one_meaning_is_taken_as_rgb(given: Any, wanted: np.ndarray) -> None:
    found = as_rgb(given)
    assert found.dtype == np.uint8 and np.array_equal(found, wanted)
    assert np.array_equal(to_planes(resize_image(found, (3, 4))), wanted.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (COLOUR / 255, r"got float64, but pixels are uint8; of floats in 0..1 give `\(image \* 255\)"),
        (COLOUR.astype(np.float32), "got float32"),
        (COLOUR.astype(np.int64), "got int64"),
        (GREY.astype(np.uint16), "got uint16"),
        (COLOUR[..., :2], r"shape \(3, 4, 2\)"),
        (np.zeros((2, 3, 4, 3), np.uint8), r"shape \(2, 3, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        ("photo.jpg", "got str"),
        ([[1, 2]], "got list"),
    ],
)
def test_what_has_two_meanings_is_refused_with_the_way_to_convert(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_rgb(given)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint16, np.int64])
def test_pixels_of_another_type_never_become_memory_as_it_happened_to_be(kind: type) -> None:
    for work in (to_planes, lambda image: resize_image(image, (5, 5))):
        with pytest.raises(ValueError, match="must be .* uint8"):
            work(COLOUR.astype(kind))


@pytest.mark.parametrize("kind", ["png", "tif", "pgm"])
@pytest.mark.parametrize(
    ("largest", "bits"), [(4095, 12), (4000, 12), (16383, 14), (200, 8), (16384, None), (65535, None)]
)
def test_twelve_bits_in_sixteen_are_noticed_and_can_be_scaled(
    tmp_path: Path, kind: str, largest: int, bits: int | None
) -> None:
    path = tmp_path / f"a.{kind}"
    values = np.linspace(0, largest, 60).astype(np.uint16).reshape(6, 10)
    Image.fromarray(values).save(path)
    assert bits_in_use(path) == bits
    if bits is not None:
        assert read_image(path).max() <= 64  # nearly black
        scaled = read_image(path, bits)
        assert np.abs(scaled[..., 0] - values * (255 / (2**bits - 1))).max() <= 0.51


def test_colour_and_eight_bits_are_left_alone(tmp_path: Path) -> None:
    for mode in ("L", "RGB", "P"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(COLOUR).convert(mode).save(path)
        assert bits_in_use(path) is None
        assert np.array_equal(read_image(path, 12), read_image(path))
