"""What is remembered of every image: its size, a hash of its bytes, and a small grey picture to find look-alikes by."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from detection.data.image import Size, image_size, upright_size
from detection.errors import InputError
from detection.files.decode import decoding, open_image, to_rgb

SIDE = 16
"""of the small pictures, pixels"""
ALIKE_BITS = 4
"""of the 64 of the difference hash; with four bands of 16 bits, pairs up to 3 are sure to be found"""
ALIKE_GREY = 5.0
"""mean difference of the small pictures in grey levels"""
FLAT = 6.0
"""deviation in grey levels under which a picture has too little in it to be compared"""
MOST_NEIGHBOURS = 64
"""pictures of one band that one is compared with, at most"""


@dataclass(frozen=True)
class Look:
    """size: upright; digest: of the file's bytes; small: (16, 16) uint8 grey; bits: the difference hash, whether each
    of 9 by 8 cells is darker than its right neighbour. The last three are None where only the header was read."""

    size: Size
    digest: bytes | None = None
    small: np.ndarray | None = None
    bits: int | None = None


@dataclass
class Album:
    """Looks by path, each taken once. quick: only the headers are read."""

    quick: bool
    looks: dict[Path, Look | InputError] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def size(self, path: Path) -> Size:
        """The upright size; InputError, the same each time, where the image cannot be decoded."""
        look = self.looks.get(path)
        if look is None:
            try:
                look = Look(image_size(path)) if self.quick else _look_at(path)
            except InputError as error:
                look = error
            with self._lock:
                self.looks[path] = look
        if isinstance(look, InputError):
            raise look
        return look.size

    def seen(self, path: Path) -> Look | None:
        """The look of an image that could be decoded whole."""
        look = self.looks.get(path)
        return look if isinstance(look, Look) and look.digest is not None else None


def _look_at(path: Path) -> Look:
    with decoding(str(path)), open_image(path) as picture:
        size = upright_size(picture)
        # A JPEG decodes to a quarter of its size in less time; all its bytes are read nevertheless.
        picture.draft(None, (8 * SIDE, 8 * SIDE))
        picture.load()
        grey = to_rgb(picture).convert("L")
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    bits = int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")
    digest = hashlib.blake2b(digest_size=16)
    with decoding(str(path)), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return Look(size, digest.digest(), small, bits)


def alike(looks: list[Look]) -> list[tuple[int, int]]:
    """Pairs (i < j) of pictures that look nearly the same but are not the same file, among whole looks.

    Candidates share one of the four quarters of their difference hash; their small pictures decide.
    """
    rich = [i for i, look in enumerate(looks) if look.small is not None and float(look.small.std()) >= FLAT]
    if len(rich) < 2:
        return []
    bits = np.array([looks[i].bits for i in rich], dtype=np.uint64)
    small = np.stack([np.asarray(looks[i].small) for i in rich]).astype(np.int16).reshape(len(rich), -1)
    pairs: set[tuple[int, int]] = set()
    for band in range(4):
        values = (bits >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(values, kind="stable")
        first = np.arange(len(order))
        for step in range(1, MOST_NEIGHBOURS):
            first = first[first + step < len(order)]
            first = first[values[order[first]] == values[order[first + step]]]
            if not len(first):
                break
            a, b = order[first], order[first + step]
            near = np.unpackbits((bits[a] ^ bits[b]).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1) <= ALIKE_BITS
            a, b = a[near], b[near]
            same = np.abs(small[a] - small[b]).mean(axis=1) <= ALIKE_GREY
            pairs |= {(min(i, j), max(i, j)) for i, j in zip(a[same].tolist(), b[same].tolist())}
    named = sorted((rich[i], rich[j]) for i, j in pairs)
    return [(i, j) for i, j in named if looks[i].digest != looks[j].digest]
