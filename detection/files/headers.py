"""The size of an image from its first bytes, where nothing in them could turn it: in a tenth of the time that Pillow
takes, which for the images of COCO is seconds instead of a minute."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from pathlib import Path

HEAD = 4096
"""bytes; a plain JPEG reaches its pixels within a quarter of these"""
_FRAMES = (0xC0, 0xC1, 0xC2)
_TABLES = (0xC4, 0xDB, 0xDD, 0xDA)
_JFIF, _ADOBE, _COMMENT = 0xE0, 0xEE, 0xFE
_PLAIN_CHUNKS = frozenset((b"IHDR", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"PLTE", b"tRNS", b"bKGD", b"sBIT", b"tIME"))
_PNG = b"\x89PNG\r\n\x1a\n"


def plain_size(path: Path | str) -> tuple[int, int] | None:
    """(height, width) of a JPEG or PNG whose header has nothing but what is known here; None for whatever else the path
    leads to, of which Pillow is to tell."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            head = os.read(file, HEAD)
        finally:
            os.close(file)
        return _of_jpeg(head) if head[:2] == b"\xff\xd8" else _of_png(head) if head[:8] == _PNG else None
    except (OSError, ValueError, struct.error, IndexError):
        return None


def _of_jpeg(head: bytes) -> tuple[int, int] | None:
    """ITU T.81, annex B: segments until the first scan; EXIF and all other applications' words are left to Pillow."""
    place, size = 2, None
    while head[place] == 0xFF:
        marker, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        if marker in _FRAMES:
            bits, height, width = struct.unpack_from(">BHH", head, place + 4)
            if bits != 8 or size is not None:
                return None
            size = (height, width)
        elif marker == 0xDA:
            return size if size is not None and min(size) > 0 else None
        elif marker not in _TABLES and marker not in (_JFIF, _ADOBE, _COMMENT):
            return None
        place += 2 + length
    return None


def _of_png(head: bytes) -> tuple[int, int] | None:
    """PNG, third edition, section 5: chunks until the first of pixels."""
    if head[12:16] != b"IHDR" or zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        return None
    width, height = struct.unpack_from(">II", head, 16)
    place = 8
    while place + 8 <= len(head):
        length, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        if kind == b"IDAT":
            return (height, width) if 0 < height < 2**31 and 0 < width < 2**31 else None
        if kind not in _PLAIN_CHUNKS:
            return None
        place += 12 + length
    return None
