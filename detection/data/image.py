"""Files to pixels: one way to decode an image, upright, in RGB, and one way to resize it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from detection.errors import InputError
from detection.files.decode import (
    decoding,
    has_wide_colour,
    has_wide_grey,
    largest_image,
    narrowed,
    open_image,
    to_rgb,
    wide_colour,
)
from detection.files.headers import plain_size

Size = tuple[int, int]
"""(height, width) in pixels; the same as in records.py, without importing torch."""

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
    | {".avif", ".jp2", ".j2k", ".jpx", ".heic", ".heif"}
)
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


def read_image(source: Path | bytes, grey_bits: int = 16, name: str | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB, C-contiguous, turned upright by its EXIF orientation, of a file or of a file's content,
    which messages call `name`.

    Grey and palette images become RGB. Alpha is dropped and the colours under it are kept, as OpenCV and detectron2 do.
    16 bits, grey or colour, are scaled by 1/257, or so that `grey_bits` of them fill 0..255; values outside become 0 or
    255. Floats are scaled by the range that their TIFF states. CMYK is converted by Pillow's rule, without a colour
    profile. Of an animation the first frame counts. Raises InputError where the file is missing, unreadable, truncated,
    larger than Pillow's limit, a TIFF of several pictures, or of other numbers of channels.
    """
    with decoding(name or str(source)), open_image(source) as image:
        transpose = _TRANSPOSE.get(_orientation(image))
        if transpose is None and image.format == "JPEG" and image.mode == "RGB":
            decoded = _decode_jpeg(source)
            if decoded is not None and decoded.shape[:2] == (image.height, image.width):
                return decoded
        if has_wide_colour(image):
            return turned(narrowed(wide_colour(source), grey_bits), transpose)
        image.load()
        pixels = to_rgb(image, grey_bits)
        return np.array(pixels if transpose is None else pixels.transpose(transpose))


def bits_in_use(path: Path) -> int | None:
    """Of a 16-bit image whose values fill less than a quarter of the range, as those of 12-bit scanners do, how many
    bits they take; None for all others. Raises InputError like `read_image`."""
    with decoding(str(path)), open_image(path) as image:
        if not has_wide_grey(image) and not has_wide_colour(image):
            return None
        largest = int((np.asarray(image) if has_wide_grey(image) else wide_colour(path)).max())
        return max(largest.bit_length(), 8) if largest < 2**14 else None


def as_rgb(image: Any) -> np.ndarray:
    """What a program hands over as an image, as (H, W, 3) uint8 RGB.

    Taken are uint8 arrays (H, W, 3) of any memory order, grey (H, W) or (H, W, 1), which is repeated, and (H, W, 4),
    whose alpha is dropped; and Pillow's images. Raises InputError, with the way to convert, for anything else: whether
    floats lie in 0..1 or in 0..255, and which of 16 bits count, only the caller knows.
    """
    if isinstance(image, Image.Image):
        with decoding("image"):  # it may have been closed, or be decoded only now
            return np.array(to_rgb(image))
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise InputError(f"image: got {kind}; give a uint8 array (H, W, 3) in RGB, or a Pillow image")
    if image.ndim == 4:
        raise InputError(f"image: got an array of shape {image.shape}; give several images as a list of arrays")
    if image.dtype != np.uint8:
        raise InputError(
            f"image: got {image.dtype}, but pixels are uint8; of floats in 0..1 give `(image * 255).round()"
            ".astype('uint8')`, of other values what maps your range to 0..255"
        )
    if image.ndim == 3 and image.shape[2] in (3, 4) and min(image.shape) > 0:
        return image[..., :3]
    if min(image.shape, default=0) > 0 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)):
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    raise InputError(f"image: got an array of shape {image.shape}; give (H, W, 3) in RGB or (H, W) in grey")


def _decode_jpeg(source: Path | bytes) -> np.ndarray | None:
    """Pillow's pixels by the library that it too decodes with, without Pillow's copies; None where there is a flaw, of
    which Pillow says what it is or that it does no harm."""
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        return simplejpeg.decode_jpeg(content, "RGB", strict=True)
    except (ValueError, OSError):
        return None


def image_size(path: Path) -> Size:
    """(height, width) of the upright image, from the header alone. Raises InputError like `read_image`."""
    known = plain_size(path)
    if known is not None and known[0] * known[1] <= largest_image():
        return known
    with decoding(str(path)), open_image(path) as image:
        return upright_size(image)


def turned(pixels: np.ndarray, transpose: Image.Transpose | None) -> np.ndarray:
    """The pixels (H, W, 3), C-contiguous, as Pillow's transposition would leave them."""
    return pixels if transpose is None else np.array(Image.fromarray(pixels).transpose(transpose))


def orientation_of(path: Path) -> int:
    """EXIF's orientation of an image, 1 to 8, from its header. Raises InputError like `read_image`."""
    with decoding(str(path)), open_image(path) as image:
        return _orientation(image)


def boxes_upright(xywh: np.ndarray, size: Size, orientation: int) -> np.ndarray:
    """Boxes (N, 4) x, y, width, height in the stored picture of `size`, (height, width), as they lie once it is turned
    by an orientation from 5 to 8, which swaps its sides."""
    height, width = size
    x, y, w, h = xywh.T
    left = y if orientation in (5, 8) else height - y - h
    top = x if orientation in (5, 6) else width - x - w
    return np.stack([left, top, h, w], axis=1)


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
    """(H, W, 3) uint8 resized to `size` (h, w), in any order of memory, by Pillow's bilinear filter, antialiased when
    it shrinks, as torch computes it: to within one level of Pillow's, mostly exactly, in a fifth of the time."""
    _require_uint8(image)
    if image.shape[:2] == tuple(size):
        return image.copy()
    import torch  # late, as whoever only looks at files needs none
    import torch.nn.functional as F

    # To torch too it must lie channels-last, or it copies the result into planes, slower than `to_planes` does.
    # Of memory that may not be written, as Pillow's, torch wants a copy.
    flat = torch.from_numpy(np.require(image, requirements=["C", "W"]).reshape(-1))
    batch = flat.view(1, *image.shape).permute(0, 3, 1, 2)
    resized = F.interpolate(batch, size=tuple(size), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def to_planes(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as (3, H, W), C-contiguous; the same memory where it lies so already."""
    _require_uint8(image)
    planes = image.transpose(2, 0, 1)
    if planes.flags.c_contiguous:
        return planes
    import cv2

    apart = np.empty(planes.shape, dtype=np.uint8)
    cv2.split(image, list(apart))  # numpy's own copy takes seven times as long
    return apart


def _require_uint8(image: np.ndarray) -> None:
    """OpenCV drops an output of another type than its input, and leaves it as memory happened to be."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")


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
