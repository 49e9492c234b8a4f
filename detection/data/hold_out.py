"""Which images of a dataset without a validation split are held out, and what images are known by.

An image is known by its content, whatever it is called and wherever it lies, and it is held out or not by that alone:
images that are added later move no other, and copies of an image fall into the same part.
"""

from __future__ import annotations

import numpy as np

from detection.counted import counted
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.fingerprints import drawn, of_files

SALTS, QUICK_SALTS, MANY = 256, 16, 5000
"""Ways of parting that are compared, and fewer for datasets of many images, which chance parts evenly."""


def index_fingerprints(index: AnnotationIndex) -> np.ndarray:
    """(N,) int64: what the images of an index are known by."""
    return of_files([index.path(i) for i in range(len(index))])


def hold_out(
    index: AnnotationIndex, fraction: float, salt: int | None = None
) -> tuple[AnnotationIndex, AnnotationIndex, int]:
    """(rest, held out, salt), for a dataset without a validation split; about `fraction` of the images is held out.

    The content of an image and the salt decide where it belongs. Without a salt, the one of many is taken whose parts
    have most nearly the wanted size and the same classes. Raises InputError where a part would be empty.
    """
    if not 0 < fraction < 1:
        raise InputError(f"{index.source}: cannot hold out {fraction} of the images; give a share between 0 and 1")
    known = index_fingerprints(index)
    if salt is None:
        count = SALTS if len(index) < MANY else QUICK_SALTS
        salt = min(range(count), key=lambda salt: _unevenness(index, _held(known, fraction, salt), fraction))
    held = _held(known, fraction, salt)
    if held.all() or not held.any():
        raise InputError(
            f"{index.source}: has {counted(len(index), 'image')}, too few to hold out {fraction} of them for "
            "validation; add "
            "images, or train without validation: --dataset.val null"
        )
    return index.select_images(np.flatnonzero(~held)), index.select_images(np.flatnonzero(held)), salt


def _held(known: np.ndarray, fraction: float, salt: int) -> np.ndarray:
    """(N,) bool."""
    return drawn(known, salt) < fraction


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
