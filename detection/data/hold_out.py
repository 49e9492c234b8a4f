"""Which images of a dataset without a validation split are held out, and what images are known by.

An image is known by its content, whatever it is called and wherever it lies, and it is held out or not by that alone:
images that are added later move no other, and copies of an image fall into the same part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from detection.data.index import AnnotationIndex
from detection.errors import InputError

BLOCK = 4096
"""Bytes read at the beginning, in the middle and at the end of a file: compressed pixels that differ, differ there."""

SALTS, QUICK_SALTS, MANY = 256, 16, 5000
"""Ways of parting that are compared, and fewer for datasets of many images, which chance parts evenly."""


def fingerprints(paths: Sequence[Path]) -> np.ndarray:
    """(N,) int64: what each file is known by, from its size and three blocks of its bytes; 0 for a missing file."""
    with ThreadPoolExecutor(8) as pool:
        return np.fromiter(pool.map(_fingerprint, paths, chunksize=64), dtype=np.int64, count=len(paths))


def _fingerprint(path: Path) -> int:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            found = hashlib.blake2b(str(size).encode(), digest_size=8)
            for start in (0, max(size // 2 - BLOCK // 2, 0), max(size - BLOCK, 0)):
                file.seek(start)
                found.update(file.read(BLOCK))
    except OSError:
        return 0
    return int.from_bytes(found.digest(), "little", signed=True)


def index_fingerprints(index: AnnotationIndex) -> np.ndarray:
    """The same of the images of an index."""
    return fingerprints([index.path(i) for i in range(len(index))])


def hold_out(
    index: AnnotationIndex, fraction: float, salt: int | None = None
) -> tuple[AnnotationIndex, AnnotationIndex, int]:
    """(rest, held out, salt), for a dataset without a validation split; about `fraction` of the images is held out.

    The content of an image and the salt decide where it belongs. Without a salt, the one of many is taken whose parts
    have most nearly the wanted size and the same classes. Raises InputError where a part would be empty.
    """
    if not 0 < fraction < 1:
        raise InputError(f"{index.source}: cannot hold out {fraction} of the images; give a share between 0 and 1")
    known = index_fingerprints(index).view(np.uint64)
    if salt is None:
        count = SALTS if len(index) < MANY else QUICK_SALTS
        salt = min(range(count), key=lambda salt: _unevenness(index, _held(known, fraction, salt), fraction))
    held = _held(known, fraction, salt)
    if held.all() or not held.any():
        raise InputError(
            f"{index.source}: has {len(index)} images, too few to hold out {fraction} of them for validation; add "
            "images, or train without validation: --dataset.val null"
        )
    return index.select_images(np.flatnonzero(~held)), index.select_images(np.flatnonzero(held)), salt


def _held(known: np.ndarray, fraction: float, salt: int) -> np.ndarray:
    """(N,) bool. The numbers are mixed as in SplitMix64 (Steele et al. 2014), each of whose bits depends on all."""
    with np.errstate(over="ignore"):
        mixed = known + np.uint64(salt + 1) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / 2.0**64 < fraction


def _unevenness(index: AnnotationIndex, held: np.ndarray, fraction: float) -> float:
    """How far the held-out part is from `fraction` of the images and of each class's objects; infinite where a part
    is empty, large where the rest lacks a class."""
    if held.all() or not held.any():
        return float("inf")
    of_row = np.repeat(held, np.diff(index.offsets))
    whole = np.bincount(index.labels, minlength=len(index.class_names))
    inside = np.bincount(index.labels[of_row], minlength=len(index.class_names))
    there = whole > 0
    shares = np.abs(inside[there] / whole[there] - fraction)
    lacking = ((inside == whole) & there).sum()
    return 2 * abs(held.mean() - fraction) + float(shares.mean() if len(shares) else 0) + 10 * float(lacking)
