"""Images that are read window by window: the pixels are those of the whole, and memory does not grow with the image."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.cli.main import main
from detection.data import slide
from detection.data.image import resize_image
from detection.data.slide import Slide, read_or_open
from detection.errors import InputError
from detection.predict import tiles

pytest.importorskip("openslide", reason="openslide-python (the extra `slides`) is not installed")
TILE = 256


def write_tiled(path, levels, big):
    """A TIFF of tiles of 256 pixels, deflated, those that are equal once; big: a BigTIFF. levels: of a pyramid, each
    its (height, width) and a function from column and row of a tile to its (256, 256, 3) uint8 pixels."""
    number = "Q" if big else "I"
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
        link = 8 if big else 4
        for smaller, (size, pixels_of) in enumerate(levels):
            tags = [(254, 4, 1, 1)] if smaller else []
            tags += tags_of(file, size, pixels_of, big, number)
            start = file.tell()
            file.write(struct.pack("<Q" if big else "<H", len(tags)))
            file.writelines(struct.pack("<HHQQ" if big else "<HHII", *tag) for tag in tags)
            after = file.tell()
            file.write(bytes(8 if big else 4))
            file.seek(link)
            file.write(struct.pack(f"<{number}", start))
            file.seek(0, os.SEEK_END)
            link = after
    return path


def tags_of(file, size, pixels_of, big, number):
    """Write the tiles of a level; the tags that tell of them."""
    (height, width), stored, places = size, {}, []
    for row in range(-(-height // TILE)):
        for column in range(-(-width // TILE)):
            raw = pixels_of(column, row).tobytes()
            if raw not in stored:
                stored[raw] = file.tell(), file.write(zlib.compress(raw, 1))
            places.append(stored[raw])
    arrays = [file.tell()]
    for values in zip(*places):
        file.write(struct.pack(f"<{len(values)}{number}", *values))
        arrays.append(file.tell())
    file.write(struct.pack("<3H", 8, 8, 8))
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8 | 8 << 16 | 8 << 32 if big else arrays[2])]
    tags += [(259, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3), (284, 3, 1, 1), (322, 4, 1, TILE), (323, 4, 1, TILE)]
    values = places[0] if len(places) == 1 else arrays  # a single number stands in the tag
    return tags + [(324 + k, 16 if big else 4, len(places), values[k]) for k in (0, 1)]


def copy_of(image, path, big=False, smaller=()):
    """A tiled TIFF of an (H, W, 3) image, and of `smaller` ones as the further levels of a pyramid."""
    levels = []
    for each in (image, *smaller):
        padded = np.pad(each, [(0, -each.shape[0] % TILE), (0, -each.shape[1] % TILE), (0, 0)])
        levels.append((each.shape[:2], lambda x, y, p=padded: p[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]))
    return write_tiled(path, levels, big)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)


@pytest.mark.parametrize("big", [False, True])
def test_windows_are_what_decoding_the_whole_gives(image, tmp_path, monkeypatch, big):
    path = copy_of(image, tmp_path / "a.tif", big)
    assert (np.array(Image.open(path)) == image).all()
    opened = Slide(path)
    assert opened.shape == image.shape
    assert (opened[50:450, 100:400] == image[50:450, 100:400]).all()
    assert (opened[600:700, 890:900] == image[600:, 890:]).all()
    monkeypatch.setattr(slide, "STRIP", 900 * 64)
    assert (opened.reduced((200, 257)) == resize_image(image, (200, 257))).all()


def test_of_a_pyramid_the_smallest_level_that_is_large_enough(image, tmp_path, monkeypatch):
    smaller = [resize_image(image, (350, 450)), resize_image(255 - image, (175, 225))]
    opened = Slide(copy_of(image, tmp_path / "a.tif", smaller=smaller))
    monkeypatch.setattr(slide, "STRIP", 450 * 64)
    assert opened.shape == image.shape and (opened[600:700, 800:900] == image[600:, 800:]).all()
    assert (opened.reduced((200, 257)) == resize_image(smaller[0], (200, 257))).all()
    assert (opened.reduced((175, 225)) == smaller[1]).all()
    assert (opened.reduced((400, 514)) == resize_image(image, (400, 514))).all()


def test_of_very_many_rows_means_are_taken_first(tmp_path, monkeypatch):
    y, x = np.mgrid[:701, :900]
    image = np.stack([y * 255 // 700, x * 255 // 899, 255 - (x + y) // 7], -1).astype(np.uint8)
    monkeypatch.setattr(slide, "NARROW", 20_000)
    assert slide._fold(701, (60, 77)) == 4
    reduced, expected = Slide(copy_of(image, tmp_path / "a.tif")).reduced((60, 77)), resize_image(image, (60, 77))
    assert np.abs(reduced.astype(int) - expected).max() <= 2


def test_what_is_opened_and_what_is_refused(image, tmp_path, monkeypatch):
    path = copy_of(image, tmp_path / "a.tif")
    assert isinstance(read_or_open(path), np.ndarray)
    Image.fromarray(image).save(tmp_path / "strips.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert isinstance(read_or_open(path), Slide)
    with pytest.raises(InputError, match=r"strips.png: too large to be decoded whole, and no slide .* as a tiled TIFF"):
        read_or_open(tmp_path / "strips.png")
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(InputError, match=r'a.tif: .* pip install "frcnn-toolkit\[slides\]"'):
        read_or_open(path)


def test_what_would_take_all_memory_is_refused(image, trained, tmp_path, monkeypatch, capsys):
    path = copy_of(image, tmp_path / "a.tif")
    words = ["predict", str(path), f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / 'out'}", "--tile=300"]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for module, name, value, because in (
        (slide, "LONGEST", 800, "a.tif: claims 900x700 pixels; no side may have more than 800"),
        (slide, "LARGEST_TILE", 250 * 250, "a.tif: is stored in tiles of 256x256 pixels"),
        (tiles, "MOST_TILES", 11, "a.tif: 12 tiles of 300 pixels, more than 11; give larger ones"),
    ):
        with monkeypatch.context() as lowered:
            lowered.setattr(module, name, value)
            assert main(words) == 2
        error = capsys.readouterr().err
        assert because in error and error.count("\n") == 1, error
    content = path.read_bytes()
    for tag in (322, 323):
        content = content.replace(struct.pack("<HHII", tag, 4, 1, 256), struct.pack("<HHII", tag, 4, 1, 1 << 16))
    path.write_bytes(content)
    assert main(words) == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_damaged_tile_is_told_in_one_line(image, tmp_path):
    path = copy_of(image, tmp_path / "a.tif")
    content = bytearray(path.read_bytes())
    content[100000:100400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.tif: the image cannot be decoded"):
        Slide(path)[0:700, 0:900]


def test_detections_are_those_of_the_image_decoded_whole(shapes, trained, tmp_path, monkeypatch, capsys):
    """Pictures beside one another, once within the limit of pixels and once above it; crops and the drawing too."""
    pictures = [np.array(Image.open(path)) for path in sorted((shapes / "train").iterdir())]
    image = np.concatenate([np.concatenate(pictures[:3], 1), np.concatenate(pictures[3:], 1)])
    path = copy_of(image, tmp_path / "a.tif")
    words = ["predict", str(path), f"--checkpoint={trained / 'best.pt'}", "--score=0.13", "--tile=80", "--crops"]
    assert main([*words, f"--output={tmp_path / 'whole'}"]) == 0
    with monkeypatch.context() as limited:
        limited.setattr(Image, "MAX_IMAGE_PIXELS", 10000)
        assert main([*words, f"--output={tmp_path / 'windows'}"]) == 0
        capsys.readouterr()
        assert main([*words[:-2], f"--output={tmp_path / 'none'}"]) == 2
        assert "scale the image down, or look at it in tiles (--tile)" in capsys.readouterr().err
    one, other = (json.loads((tmp_path / k / "predictions.json").read_text())[0] for k in ("whole", "windows"))
    assert len(one["detections"]) > 20 and one["size"] == other["size"] == [192, 288]
    for a, b in zip(one["detections"], other["detections"], strict=True):
        assert a["class"] == b["class"] and np.allclose([*a["box"], a["score"]], [*b["box"], b["score"]], atol=0.002)
    files = [{str(p.relative_to(tmp_path / k)) for p in (tmp_path / k).rglob("*.jpg")} for k in ("whole", "windows")]
    assert files[0] == files[1] and Image.open(tmp_path / "windows" / "a.jpg").size == (288, 192)


PEAK = """
import re, sys
from PIL import Image
from detection.cli.main import main
Image.MAX_IMAGE_PIXELS = 1_000_000
assert main(sys.argv[1:]) == 0
print("peak", int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_memory_does_not_grow_with_the_image(trained, tmp_path):
    """8,000 x 8,000 pixels, 183 MiB when decoded, beside 2,000 x 2,000, both in windows."""
    noise = [np.random.default_rng(k).integers(0, 256, (TILE, TILE, 3), dtype=np.uint8) for k in range(5)]
    environment, peaks = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}, []
    for side in (2000, 8000):
        path = write_tiled(tmp_path / f"{side}.tif", [((side, side), lambda x, y: noise[(x + 3 * y) % 5])], big=True)
        words = [str(path), f"--checkpoint={trained / 'best.pt'}", "--tile=1000", "--overlap=0", "--no-pictures"]
        command = [sys.executable, "-c", PEAK, "predict", *words, "--device=cpu", f"--output={tmp_path / str(side)}"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.rpartition("peak ")[2]))
    assert peaks[1] < peaks[0] + 60, peaks
