"""What images are known by, whatever they are called and wherever they lie; and parts of a dataset drawn by that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

BLOCK = 4096
"""Bytes read at the beginning, in the middle and at the end of a file: compressed pixels that differ, differ there."""


def of_files(paths: Sequence[Path]) -> np.ndarray:
    """(N,) int64: what each file is known by, from its size and three blocks of its bytes; 0 for a missing file."""
    with ThreadPoolExecutor(8) as pool:
        return np.fromiter(pool.map(_of_file, paths, chunksize=64), dtype=np.int64, count=len(paths))


def of_contents(contents: Iterable[bytes]) -> np.ndarray:
    """(N,) int64: the same from all bytes of each."""
    return np.array([_number(hashlib.blake2b(content, digest_size=8)) for content in contents], dtype=np.int64)


def _of_file(path: Path) -> int:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            found = hashlib.blake2b(str(size).encode(), digest_size=8)
            for start in (0, max(size // 2 - BLOCK // 2, 0), max(size - BLOCK, 0)):
                file.seek(start)
                found.update(file.read(BLOCK))
    except OSError:
        return 0
    return _number(found)


def _number(found: hashlib.blake2b) -> int:
    return int.from_bytes(found.digest(), "little", signed=True)


def drawn(known: np.ndarray, salt: int) -> np.ndarray:
    """(N,) float64 in [0, 1): a number for each image, by what it is known by and the salt alone.

    Mixed as in SplitMix64 (Steele et al. 2014), each of whose bits depends on all.
    """
    with np.errstate(over="ignore"):
        mixed = known.view(np.uint64) + np.uint64(salt + 1) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
