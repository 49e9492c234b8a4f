from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data.image import image_size, read_image, resize_image, resize_size
from detection.errors import InputError


def test_resize_matches_detectron2(shared: Path) -> None:
    cases = json.loads((shared / "fixtures/primitives/primitives.json").read_text())["resize_sizes"]
    for case in cases:
        size = resize_size((case["h"], case["w"]), case["short"], case["max_size"])
        assert list(size) == case["detectron2"], case
    values = np.load(shared / "fixtures/primitives/primitives.npz")
    for name in ("resize_down", "resize_up", "resize_mixed"):
        wanted = values[name]
        assert np.array_equal(resize_image(values["resize_in"], wanted.shape[:2]), wanted), name


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
