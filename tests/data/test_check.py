from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detection.data.check import check_index
from detection.data.coco import read_coco
from detection.data.image import read_image
from detection.data.index import AnnotationIndex
from detection.data.voc import read_voc
from detection.errors import InputError


def make(folder: Path, boxes: list[list[float]], crowd: int = 0, images: int = 2) -> AnnotationIndex:
    """Images of 40 x 20 pixels; all boxes lie in the first, and the last has one good box."""
    items: list[dict[str, Any]] = []
    for i in range(1, images + 1):
        Image.new("RGB", (40, 20)).save(folder / f"{i}.jpg")
        items.append({"id": i, "file_name": f"{i}.jpg", "height": 20, "width": 40})
    rows: list[dict[str, Any]] = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": crowd} for n, box in enumerate(boxes, 1)
    ]
    rows.append({"id": 99, "image_id": images, "category_id": 1, "bbox": [1, 1, 5, 5]})
    path = folder / "some.json"
    path.write_text(json.dumps({"images": items, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}))
    return read_coco(path, folder)


def test_a_sound_index_passes_unchanged(tmp_path: Path) -> None:
    index = make(tmp_path, [[0, 0, 40, 20], [-1, -1, 42, 22]])
    for policy in ("error", "skip"):
        kept, report = check_index(index, policy, decode=True)
        assert report == [] and kept.annotation_ids.tolist() == [1, 2, 99], "up to one pixel outside is rounding"


@pytest.mark.parametrize(
    ("box", "message", "kept"),
    [
        ([5, 5, 0, 3], "image 1.jpg: annotation 1 (cat) is empty: x 5, y 5, width 0, height 3", False),
        ([5, 5, 3, -2], "is empty", False),
        ([5, 5, 1, 1], "is empty", False),
        ([5, 5, 1, 9], None, True),
        ([30, 5, 11.5, 3], "image 1.jpg: annotation 1 (cat) sticks out of the image of 40x20", True),
        ([-2, 5, 11, 3], "sticks out", True),
        ([40, 5, 1, 3], "sticks out", False),
        ([50, 5, 10, 3], "sticks out", False),
    ],
)
def test_the_rules_for_boxes(tmp_path: Path, box: list[float], message: str | None, kept: bool) -> None:
    index = make(tmp_path, [box])
    index_kept, report = check_index(index, "skip", decode=False)
    assert (1 in index_kept.annotation_ids) == kept and len(index_kept) == 2
    assert len(report) == (0 if message is None else 1)
    if message is not None:
        assert message in report[0]
        with pytest.raises(InputError) as error:
            check_index(index, "error", decode=False)
        assert str(error.value).startswith(f"{tmp_path / 'some.json'}: ") and message in str(error.value)


def test_crowds_may_stick_out_but_not_be_empty(tmp_path: Path) -> None:
    kept, report = check_index(make(tmp_path, [[-9, 0, 99, 99], [3, 3, 0, 0]], crowd=1), "skip", decode=False)
    assert kept.annotation_ids.tolist() == [1, 99] and len(report) == 1


def test_flawed_images(tmp_path: Path) -> None:
    index = make(tmp_path, [[1, 1, 2, 2]], images=6)
    (tmp_path / "1.jpg").unlink()
    (tmp_path / "2.jpg").write_text("no image")
    Image.effect_noise((40, 20), 50).convert("RGB").save(tmp_path / "3.jpg")
    whole = (tmp_path / "3.jpg").read_bytes()
    (tmp_path / "3.jpg").write_bytes(whole[: len(whole) * 4 // 5])
    Image.new("RGB", (30, 20)).save(tmp_path / "4.jpg")
    with pytest.raises(InputError, match=r"image 1.jpg is missing from .* \(and 3 more flaws\)"):
        check_index(index, "error", decode=True)
    kept, report = check_index(index, "skip", decode=True)
    assert kept.image_ids.tolist() == [5, 6] and kept.annotation_ids.tolist() == [99]
    text = "\n".join(report)
    assert "image unreadable: 2, left out; the first: image 2.jpg is broken: not an image" in text
    assert "image 4.jpg is 30x20 but annotated as 40x20" in text and len(report) == 3
    by_header, _ = check_index(index, "skip", decode=False)
    assert by_header.image_ids.tolist() == [3, 5, 6], "a header does not tell that the file is cut off"


def test_an_empty_split_raises_whatever_the_policy(tmp_path: Path) -> None:
    index = make(tmp_path, [])
    (tmp_path / "2.jpg").unlink()
    with pytest.raises(InputError, match="empty split, 1 image but no annotated object once flawed"):
        check_index(index, "skip", decode=False)
    with pytest.raises(InputError, match="empty split, there are no images"):
        check_index(index.select_images([]), "skip", decode=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown policy 'ignore'"):
        check_index(index, "ignore", decode=False)


def test_the_stray_clicks_of_real_annotations_are_found(shared: Path) -> None:
    index = read_voc(shared / "data/bccd", "trainval")
    kept, report = check_index(index, "skip", decode=False)
    assert len(kept.xywh) == len(index.xywh) - 2 and len(report) == 1
    assert report[0].startswith("empty box: 2, left out; the first: image JPEGImages/BloodImage_00338.jpg: annotation")


@pytest.mark.parametrize("count", [3, 12])
def test_boxes_that_are_corners_are_refused_whatever_the_policy(tmp_path: Path, count: int) -> None:
    boxes = [[20 - n, 9 - n / 2, 39 - n, 19 - n / 2] for n in range(count)]
    index = make(tmp_path, boxes)
    for policy in ("error", "skip"):
        with pytest.raises(InputError, match="stick out .* fits as corners, x1 y1 x2 y2; write x y width height"):
            check_index(index, policy, decode=False)
    one_is_none = make(tmp_path, [*boxes, [30, 5, 11.5, 3]])
    assert check_index(one_is_none, "skip", decode=False)[1]


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_boxes_of_the_stored_picture_are_turned_as_exif_turns_it(tmp_path: Path, policy: str, orientation: int) -> None:
    """The annotated size says of which frame the boxes are; where both frames have it, of the one that is shown."""
    index = make(tmp_path, [[4, 2, 20, 9]])
    exif, pixels = Image.Exif(), np.zeros((20, 40, 3), dtype=np.uint8)
    exif[0x0112] = orientation
    pixels[2:11, 4:24] = 255
    Image.fromarray(pixels).save(tmp_path / "1.jpg", exif=exif, quality=95)
    found, notes = check_index(index, policy, decode=False)
    if orientation < 5:
        assert not notes and found.xywh[0].tolist() == [4, 2, 20, 9]
        return
    assert len(notes) == 1 and "1 image that EXIF turns by a quarter" in notes[0] and "1.jpg" in notes[0]
    x, y, w, h = found.xywh[0].astype(int).tolist()
    shown = read_image(tmp_path / "1.jpg")
    assert shown[y : y + h, x : x + w].min() > 100 and shown.shape[:2] == tuple(found.sizes[0])
    shown[y : y + h, x : x + w] = 0
    assert shown.max() < 100
    assert found.xywh[1].tolist() == [1, 1, 5, 5] and index.xywh[0].tolist() == [4, 2, 20, 9]
