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

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
"""What is decoded, whatever a file is called. Of the others that Pillow knows, some run programs (EPS: Ghostscript)."""
MAX_PIXELS = 89_478_485
"""Pillow's own limit, where a program that uses this as a library has taken Pillow's away"""

# Pillow warns of sizes that are refused here, and of flaws in metadata that no one needs.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


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
        raise InputError(f"{name}: too large ({error}); scale the image down") from None
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
    picture = Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded, formats=FORMATS)
    limit = min(Image.MAX_IMAGE_PIXELS or MAX_PIXELS, MAX_PIXELS)
    if picture.width * picture.height > limit:
        picture.close()
        raise Image.DecompressionBombError(f"{picture.width}x{picture.height} is over {limit} pixels")
    return picture


def has_wide_grey(picture: Image.Image) -> bool:
    """Whether pixels are grey of more than 8 bits."""
    return picture.mode == "I" or picture.mode.startswith("I;16")


def to_rgb(picture: Image.Image, grey_bits: int = 16) -> Image.Image:
    """Decoded, in RGB: grey is repeated, alpha dropped, wide grey scaled so that `grey_bits` of its bits fill 0 to 255,
    by 1/257 for all 16; float pixels are refused.

    EXIF orientation is left alone, as torchvision and the published ImageNet results do.
    """
    if picture.mode == "RGB":
        return picture
    if picture.mode == "F":
        raise InputError("float pixels have no fixed range; save the image with 8 bits a channel")
    if has_wide_grey(picture):
        # In place: at the limit of pixels every copy is hundreds of megabytes.
        largest = 2**grey_bits - 1
        grey = np.clip(np.asarray(picture), 0, largest).astype(np.uint32)
        grey *= 255
        grey += largest // 2
        grey //= largest
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.mode in ("P", "PA"):
        return picture.convert("RGBA").convert("RGB")  # without the detour, Pillow warns about transparent entries
    return picture.convert("RGB")
