"""Images in whatever form a program has them, as pixels."""

from __future__ import annotations

import os
import re
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection.data.image import as_rgb, read_image
from detection.errors import InputError

LARGEST_DOWNLOAD = 1 << 28
"""bytes of an image behind an address"""

ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://|data:", re.IGNORECASE)


def as_pixels(image: Any, grey_bits: int = 16) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image in any form that `detection.LoadedDetector` takes, in memory of its own; files
    as `frcnn predict` reads them. Raises `InputError`."""
    if isinstance(image, (str, os.PathLike)):
        return _read(os.fspath(image), grey_bits)
    if isinstance(image, bytes):
        return read_image(image, grey_bits, "image")
    if hasattr(image, "read") and not hasattr(image, "getpixel"):  # a file, no Pillow image
        return _read_file(image, grey_bits)
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
            hint = "; of floats in 0..1 give (image * 255).round().byte()" if image.is_floating_point() else ""
            raise InputError(f"image: a tensor must be (3, H, W) uint8, got {tuple(image.shape)} {image.dtype}{hint}")
        image = image.permute(1, 2, 0).cpu().numpy()
    return np.array(as_rgb(image), order="C")


def _read(place: str | bytes, grey_bits: int) -> np.ndarray:
    """The image behind a path or an address."""
    text = os.fsdecode(place)
    address = ADDRESS.match(text)
    if not text:
        raise InputError("image: the path is empty; give that of a file")
    if address is None or (len(text) > 1 and Path(text).is_file()):
        return read_image(Path(text), grey_bits)
    if (address[1] or "").lower() not in ("http", "https"):
        raise InputError(f"{text[:200]}: only http and https addresses are fetched; give the path of a file")
    try:
        with urllib.request.urlopen(text, timeout=30) as answer:
            content = answer.read(LARGEST_DOWNLOAD + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{text}: cannot be fetched ({error}); check the address, or give a file") from error
    if len(content) > LARGEST_DOWNLOAD:
        raise InputError(f"{text}: is larger than {LARGEST_DOWNLOAD >> 20} MiB; fetch it yourself and give the file")
    return read_image(content, grey_bits, text)


def _read_file(file: Any, grey_bits: int) -> np.ndarray:
    name = str(getattr(file, "name", "image"))
    try:
        content = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read ({error}); open it again with mode 'rb'") from error
    if not isinstance(content, bytes):
        raise InputError(f"{name}: was opened as text; open it with mode 'rb'")
    return read_image(content, grey_bits, name)
