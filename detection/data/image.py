"""Files to pixels: one way to decode an image, upright, in RGB, and one way to resize it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from backbones.decode import decoding, open_image, to_rgb
from detection.errors import mending

Size = tuple[int, int]
"""(height, width) in pixels; the same as in records.py, without importing torch."""

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
"""what counts as an image where a folder is listed, in lower case"""

_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, C-contiguous, turned upright by its EXIF orientation.

    Grey and palette images become RGB. Alpha is dropped and the colours under it are kept, as OpenCV and detectron2 do.
    16-bit grey is scaled by 1/257, values outside 0..65535 become 0 or 255. CMYK is converted by Pillow's rule, without
    a colour profile. Of an animation the first frame counts. Raises InputError where the file is missing, unreadable,
    truncated, in float pixels, or larger than Pillow's limit.
    """
    with mending(), decoding(str(path)), open_image(path) as image:
        transpose = _TRANSPOSE.get(_orientation(image))
        image.load()
        pixels = to_rgb(image)
        return np.array(pixels if transpose is None else pixels.transpose(transpose))


def image_size(path: Path) -> Size:
    """(height, width) of the upright image, from the header alone. Raises InputError like `read_image`."""
    with mending(), decoding(str(path)), open_image(path) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> Size:
    """(height, width) of an opened image as it is shown, turned by its EXIF orientation."""
    width, height = image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def resize_size(size: Size, short_side: int, long_side: int | None = None) -> Size:
    """Scale `size` (h, w) so that its short side is `short_side`, but its long side at most `long_side`.

    detectron2's rule, with its rounding: 480x640 becomes 800x1067 at 800 and 1333. No side is below 1.
    """
    scale = short_side / min(size)
    height, width = (short_side, scale * size[1]) if size[0] < size[1] else (scale * size[0], short_side)
    longest = max(height, width)
    if long_side is not None and longest > long_side:
        height, width = height * (long_side / longest), width * (long_side / longest)
    return max(1, int(height + 0.5)), max(1, int(width + 0.5))


def resize_image(image: np.ndarray, size: Size) -> np.ndarray:
    """(H, W, 3) uint8 resized to `size` (h, w) by Pillow's bilinear filter, which is antialiased when it shrinks."""
    if image.shape[:2] == tuple(size):
        return image.copy()
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none to apply."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF upright itself
    try:
        # The base class's method: the one of PNG decodes the whole image to find EXIF behind the pixels.
        orientation = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF: every viewer shows such an image as it is stored
        return 1
    return orientation if orientation in _TRANSPOSE else 1
