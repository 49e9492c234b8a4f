"""Sizes from the first bytes are Pillow's, or left to it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from detection.data.image import upright_size
from detection.files.headers import plain_size


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (23, 37, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize(
    ("kind", "options", "known"),
    [
        ("JPEG", {}, True),
        ("JPEG", {"progressive": True}, True),
        ("JPEG", {"mode": "L"}, True),
        ("JPEG", {"mode": "CMYK"}, True),
        ("JPEG", {"comment": b"made up"}, True),
        ("JPEG", {"exif": exif(1)}, False),
        ("JPEG", {"exif": exif(6)}, False),
        ("JPEG", {"xmp": XMP}, False),
        ("JPEG", {"icc_profile": b"x" * 9000}, False),
        ("PNG", {}, True),
        ("PNG", {"mode": "P"}, True),
        ("PNG", {"mode": "RGBA", "dpi": (72, 72)}, True),
        ("PNG", {"exif": exif(6)}, False),
        ("BMP", {}, False),
        ("TIFF", {}, False),
        ("WEBP", {}, False),
    ],
)
def test_what_nothing_could_turn_is_known_and_the_rest_is_left_alone(tmp_path, kind, options, known):
    path = tmp_path / "a"
    path.write_bytes(encoded(kind, **options))
    assert plain_size(path) == ((23, 37) if known else None)


def test_texts_in_a_png_may_hold_an_orientation(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", "\nexif\n8\n4578696600000000\n")
    (tmp_path / "a").write_bytes(encoded("PNG", pnginfo=texts))
    assert plain_size(tmp_path / "a") is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_header_never_gives_another_size_than_pillow(
    tmp_path: Path, kind: str, place: int, byte: int, cut: bool
) -> None:
    content = bytearray(encoded(kind))
    content[place] = byte
    path = tmp_path / "a"
    path.write_bytes(content[:place] if cut else content)
    found = plain_size(path)
    if found is not None:
        try:
            with Image.open(path) as image:
                assert found == upright_size(image)
        except (OSError, SyntaxError):
            pass  # it is told once the pixels are read


def test_what_is_no_file_is_left_alone(tmp_path):
    assert plain_size(tmp_path) is None and plain_size(tmp_path / "gone") is None
