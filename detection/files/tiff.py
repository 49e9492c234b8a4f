"""What the tags of a TIFF say that Pillow does not heed."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image

SUBFILE, WHITE_IS_ZERO, SMALLEST, LARGEST = 254, 262, 340, 341
"""tags: NewSubfileType; PhotometricInterpretation, 0 where white is 0; SMinSampleValue and SMaxSampleValue"""
WIDTH, BITS, CHANNELS, KIND = 256, 258, 277, 339
KINDS = {1: "whole numbers", 2: "signed whole numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
MOST_TAGS = 4096


def tiff_tag(picture: Image.Image, tag: int) -> Any:
    """The value of a tag that is one number, or the first of several; None where it is not there."""
    tags = getattr(picture, "tag_v2", None)
    value = None if tags is None else tags.get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return None if value is None or isinstance(value, (tuple, bytes, str)) else float(value)


def further_pages(picture: Image.Image) -> int:
    """Pages of an opened TIFF behind the first that are pictures of their own, not the same one smaller, nor its mask:
    as scanners and microscopes write them, pyramids do not count."""
    count = 0
    for page in range(1, getattr(picture, "n_frames", 1)):
        picture.seek(page)
        count += not int(tiff_tag(picture, SUBFILE) or 0) & 5
    picture.seek(0)
    return count


def unknown_tiff(head: bytes) -> str | None:
    """What a TIFF holds that Pillow does not know, and what to do, from its first bytes; None where it is no TIFF."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None:
        return "is a BigTIFF of a kind that Pillow cannot read; save it as PNG" if _is_big(head) else None
    known = _first_tags(head, order)
    if WIDTH not in known:  # the tags stand behind the pixels
        return "is a TIFF of a kind that Pillow cannot read; save it as PNG with 1 or 3 channels of 8 or 16 bits"
    channels, kind = known.get(CHANNELS, 1), KINDS.get(known.get(KIND, 1), "unknown numbers")
    if channels not in (1, 3):
        return (
            f"has {channels} channels, and the networks here take 3; save those that the weights know, red, green and "
            "blue, as an image of their own"
        )
    bits = f" of {known[BITS]} bits" if known.get(BITS, 0) in (1, 2, 4, 8, 12, 16, 24, 32, 64) else ""
    return f"has {kind}{bits} in {channels} channel{'s' * (channels > 1)}, which Pillow cannot read; save it as PNG"


def _is_big(head: bytes) -> bool:
    return head[:4] in (b"II+\0", b"MM\0+")


def _first_tags(head: bytes, order: str) -> dict[int, int]:
    """Tag -> its value, of those of the first page that are a single short or long number."""
    try:
        (start,) = struct.unpack_from(f"{order}I", head, 4)
        (count,) = struct.unpack_from(f"{order}H", head, start)
        found = {}
        for k in range(min(count, MOST_TAGS)):
            tag, kind, many = struct.unpack_from(f"{order}HHI", head, start + 2 + 12 * k)
            if kind in (3, 4) and many == 1:
                found[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", head, start + 10 + 12 * k)[0]
        return found
    except struct.error:
        return {}
