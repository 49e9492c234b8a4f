"""Images too large to be decoded whole, read window by window: whole slides and tiled TIFFs, by OpenSlide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detection.data.image import Size, read_image, resize_image
from detection.errors import InputError
from detection.files.decode import TooLarge, decoding

SLIDES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu"})
"""What microscopes' slides end in, in lower case; others are tiled TIFFs."""
STRIP = 1 << 21
"""Pixels that are decoded at once where the whole image is wanted smaller."""
MOST_ROWS = 1024
LONGEST = 1_000_000
"""Pixels of a side; a file that claims more is none that a scanner wrote."""
LARGEST_TILE = 1 << 26
"""Pixels of the tiles that a file is stored in, which are decoded whole; scanners' have a thousandth of this."""
NARROW = 1 << 26
"""Bytes of an image that has been made narrower and not yet lower."""


class Slide:
    """An open image whose windows are arrays: `slide[y1:y2, x1:x2]` is (y2 - y1, x2 - x1, 3) uint8 RGB; shape:
    (H, W, 3), as of an array. What a scanner left out is white. May be read by several threads.

    Raises `InputError` where OpenSlide is not installed, or the file is no slide and no tiled TIFF.
    """

    def __init__(self, path: Path) -> None:
        try:
            import openslide
        except ImportError:
            raise InputError(
                f'{path}: to be read in windows it needs a library: pip install "frcnn-toolkit[slides]"'
            ) from None
        self.path = path
        try:
            self._file = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise InputError(
                f"{path}: too large to be decoded whole, and no slide or tiled TIFF that OpenSlide reads ({error}); "
                "save it as a tiled TIFF with 8 bits a channel"
            ) from error
        width, height = self._file.dimensions
        if max(width, height) > LONGEST:
            raise InputError(f"{path}: claims {width}x{height} pixels; no side may have more than {LONGEST}")
        sides = [int(self._file.properties.get(f"openslide.level[0].tile-{side}", 0)) for side in ("width", "height")]
        if sides[0] * sides[1] > LARGEST_TILE:
            raise InputError(f"{path}: is stored in tiles of {sides[0]}x{sides[1]} pixels; save it with smaller ones")
        self.shape = (height, width, 3)

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        (y1, y2, _), (x1, x2, _) = window[0].indices(self.shape[0]), window[1].indices(self.shape[1])
        return self._read(0, (x1, y1), (max(x2 - x1, 0), max(y2 - y1, 0)))

    def reduced(self, size: Size) -> np.ndarray:
        """The whole image, resized to `size` (height, width), which is not larger, from the smallest level of a pyramid
        that is large enough: pixel for pixel as `resize_image` would, but for images of very many rows, of which means
        of 2, 4, 8, ... rows are taken first. A strip at a time, so that memory holds none of it whole."""
        level = self._file.get_best_level_for_downsample(min(self.shape[0] / size[0], self.shape[1] / size[1]))
        width, height = self._file.level_dimensions[level]
        fold = _fold(height, size)
        rows = min(max(STRIP // width // fold, 1), MOST_ROWS) * fold
        narrow = np.empty((-(-height // fold), size[1], 3), dtype=np.uint8)
        for y in range(0, height, rows):
            start = 0, round(y * self.shape[0] / height)
            strip = self._read(level, start, (width, min(rows, height - y)))
            strip = resize_image(strip, (len(strip), size[1]))  # along the width alone: that is how resizing begins
            strip = np.pad(strip, [(0, -len(strip) % fold), (0, 0), (0, 0)], mode="edge")
            means = strip if fold == 1 else strip.reshape(-1, fold, *strip.shape[1:]).mean(axis=1).round()
            narrow[y // fold : y // fold + len(means)] = means
        return resize_image(narrow, size)

    def _read(self, level: int, start: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """start: x, y in pixels of the whole image; size: width, height in pixels of the level."""
        with decoding(str(self.path)):
            region: Any = self._file.read_region(start, level, size)
            if region.getextrema()[3][0] < 255:
                region = Image.alpha_composite(Image.new("RGBA", region.size, "white"), region)
            return np.array(region.convert("RGB"))


def _fold(height: int, size: Size) -> int:
    """Rows that become one before an image of `height` rows is resized to `size`, which keeps two or more for each."""
    fold = 1
    while height // fold * size[1] * 3 > NARROW and height // (fold * 4) >= size[0]:
        fold *= 2
    return fold


def read_or_open(path: Path, grey_bits: int = 16) -> np.ndarray | Slide:
    """The pixels, as `read_image` gives them, or a `Slide` where the file is one, or is too large to be decoded whole.
    Raises `InputError` like both."""
    if path.suffix.lower() in SLIDES:
        return Slide(path)
    try:
        return read_image(path, grey_bits)
    except TooLarge:
        return Slide(path)
