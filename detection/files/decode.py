"""Files to images: one way to open, to decode and to bring to RGB, and one line for whatever is wrong with a file."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from detection.errors import InputError
from detection.files.documents import load_head
from detection.files.tiff import LARGEST, SMALLEST, WHITE_IS_ZERO, further_pages, tiff_tag, unknown_tiff

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000")
"""What is decoded, whatever a file is called. Of the others that Pillow knows, some run programs (EPS: Ghostscript)."""
HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypheim", b"ftypmif1", b"ftypmsf1")
"""how files of HEIC begin, after four bytes"""
HEAD = 1 << 16
"""bytes that are looked at of what Pillow does not know"""
MAX_PIXELS = 89_478_485
"""Pillow's own limit, where a program that uses this as a library has taken Pillow's away"""

# Pillow warns of sizes that are refused here, and of flaws in metadata that no one needs.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class TooLarge(InputError):
    """The image has more pixels than are decoded at once."""


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever is raised within becomes an `InputError` that names the image."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such image file; check the path and the image folder") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{name}: not an image that Pillow can read; replace or remove the file") from None
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{name}: too large ({error}); scale the image down") from None
    # Pillow's decoders raise whatever a broken file leads them to (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: the image cannot be decoded ({reason}); replace or remove the file") from error


def open_image(encoded: Path | bytes) -> Image.Image:
    """The image with its header read and its pixels not yet decoded; use it within `decoding`.

    Raises `Image.DecompressionBombError` from the size at which Pillow itself only warns, and before any pixel has
    memory.
    """
    # A pipe or device in the place of a file would be waited for, or read without end.
    if not isinstance(encoded, bytes) and not stat.S_ISREG(os.stat(encoded).st_mode):
        raise InputError("the image cannot be decoded (not a file); replace or remove it")
    picture = _opened(encoded)
    limit = largest_image()
    if picture.width * picture.height > limit:
        picture.close()
        raise Image.DecompressionBombError(f"{picture.width}x{picture.height} is over {limit} pixels")
    if picture.format == "TIFF" and getattr(picture, "is_animated", False):
        _refuse_pages(picture)
    return picture


def largest_image() -> int:
    """Pixels of the largest image that is opened."""
    return min(Image.MAX_IMAGE_PIXELS or MAX_PIXELS, MAX_PIXELS)


def _opened(encoded: Path | bytes) -> Image.Image:
    """Raises InputError for what Pillow does not know and what can be said of it, else Pillow's own error."""

    def opened(formats: tuple[str, ...]) -> Image.Image:
        return Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded, formats=formats)

    try:
        return opened(FORMATS)
    except Image.UnidentifiedImageError:
        head = encoded[:HEAD] if isinstance(encoded, bytes) else load_head(encoded, HEAD)
        if head[4:12] in HEIC:
            load_heif()
            return opened(("HEIF",))
        unknown = unknown_tiff(head)
        if unknown is not None:
            raise InputError(unknown) from None
        raise


def load_heif() -> None:
    """Teach Pillow HEIC. Raises InputError where the library for it is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise InputError(
            "is HEIC, which needs pillow-heif: pip install frcnn-toolkit[heic], or save it as JPEG"
        ) from None
    register_heif_opener()


def has_wide_grey(picture: Image.Image) -> bool:
    """Whether pixels are grey of more than 8 bits."""
    return picture.mode == "I" or picture.mode.startswith("I;16")


def has_wide_colour(picture: Image.Image) -> bool:
    """Whether an image whose pixels are not yet decoded has colours of 16 bits, of which Pillow keeps 8."""
    tiles = getattr(picture, "tile", ())
    modes = [tile[3] if isinstance(tile[3], str) else next(iter(tile[3] or ()), "") for tile in tiles]
    return picture.mode in ("RGB", "RGBA", "RGBX", "LA", "RGBa") and any(";16" in str(mode) for mode in modes)


def wide_colour(encoded: Path | bytes) -> np.ndarray:
    """(H, W, 3) uint16 of such an image, by OpenCV, which like Pillow turns a TIFF upright and nothing else. Raises
    InputError where it cannot decode it."""
    import cv2  # late, as few images are so

    content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
    pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise InputError("colours of 16 bits of a kind that OpenCV cannot read; save the image with 8 bits a channel")
    return np.ascontiguousarray(pixels[..., 2::-1])


def narrowed(values: np.ndarray, bits: int) -> np.ndarray:
    """Of any shape, uint8: 0 to 2**bits - 1 become 0 to 255, and what lies outside becomes 0 or 255."""
    # In place: at the limit of pixels every copy is hundreds of megabytes.
    largest = 2**bits - 1
    scaled = np.clip(values, 0, largest).astype(np.uint32)
    scaled *= 255
    scaled += largest // 2
    scaled //= largest
    return scaled.astype(np.uint8)


def to_rgb(picture: Image.Image, grey_bits: int = 16) -> Image.Image:
    """Decoded, in RGB: grey is repeated, alpha dropped, wide grey scaled so that `grey_bits` of its bits fill 0 to 255,
    by 1/257 for all 16. Float pixels are scaled by the range that a TIFF states, and refused where none does.

    EXIF orientation is left alone, as torchvision and the published ImageNet results do.
    """
    if picture.mode == "RGB":
        return picture
    if picture.mode == "F":
        return Image.fromarray(_of_floats(picture)).convert("RGB")
    if has_wide_grey(picture):
        grey = np.asarray(picture)
        if picture.mode != "I" and tiff_tag(picture, WHITE_IS_ZERO) == 0:  # of 8 bits Pillow turns it round itself
            grey = 2**grey_bits - 1 - np.minimum(grey, 2**grey_bits - 1)
        return Image.fromarray(narrowed(grey, grey_bits)).convert("RGB")
    if picture.mode in ("P", "PA"):
        return picture.convert("RGBA").convert("RGB")  # without the detour, Pillow warns about transparent entries
    return picture.convert("RGB")


def _of_floats(picture: Image.Image) -> np.ndarray:
    """(H, W) uint8 of float pixels, by the smallest and largest value that their TIFF states."""
    low, high = tiff_tag(picture, SMALLEST), tiff_tag(picture, LARGEST)
    values = np.asarray(picture)
    if low is None or high is None or not -np.inf < low < high < np.inf:
        raise InputError(
            "float pixels without a range; state it in the TIFF tags SMinSampleValue and SMaxSampleValue, or save the "
            "image with 8 bits a channel"
        )
    if not np.isfinite(values).all():
        raise InputError("float pixels that are not finite; save the image with 8 bits a channel")
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _refuse_pages(picture: Image.Image) -> None:
    """Raise InputError for a TIFF of several pictures, of which only its maker knows which was annotated."""
    pages = further_pages(picture)
    if pages:
        raise InputError(f"is a TIFF of {pages + 1} pages; save the one that was annotated as an image of its own")
