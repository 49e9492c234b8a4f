"""Look-alikes: copies by other means are found, different pictures are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from detection.doctor.pictures import Album, Look, alike
from detection.errors import InputError

CHANGES = {
    "compressed": lambda picture: picture,
    "half the size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.02),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_of_real_pictures_are_found_and_nothing_else(shared: Path, tmp_path: Path, change: str) -> None:
    files = sorted((shared / "data/coco_tiny/train2017").glob("*.jpg"))[:40]
    album = Album(quick=False)
    for file in files:
        CHANGES[change](Image.open(file).convert("RGB")).save(tmp_path / file.name, quality=60)
    looks = []
    for path in [*files, *(tmp_path / file.name for file in files)]:
        album.size(path)
        looks.append(album.seen(path))
    found = alike([look for look in looks if look is not None])
    assert {b - a for a, b in found} == {40} and len(found) >= 38


def test_flat_and_equal_pictures_are_no_look_alikes(tmp_path: Path) -> None:
    flat = Look((9, 9), b"a", np.full((16, 16), 7, np.uint8), 0)
    rich = Look((9, 9), b"c", np.arange(256, dtype=np.uint8).reshape(16, 16), 5)
    assert alike([flat, Look((9, 9), b"b", flat.small, 0)]) == []
    assert alike([rich, rich]) == [] and alike([]) == []
    assert alike([rich, Look((9, 9), b"d", rich.small, 4)]) == [(0, 1)]


def test_a_broken_picture_is_refused_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("none")
    album = Album(quick=False)
    for _ in range(2):
        with pytest.raises(InputError, match="a.jpg: not an image"):
            album.size(tmp_path / "a.jpg")
    assert album.seen(tmp_path / "a.jpg") is None
