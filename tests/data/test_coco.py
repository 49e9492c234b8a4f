from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from detection.data.coco import read_coco, to_coco, write_coco
from detection.data.names import leaves_root
from detection.errors import InputError

GOOD: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "height": 20, "width": 30},
        {"id": 3, "file_name": "a.jpg", "height": 10, "width": 10},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 90, "bbox": [1, 2, 3.5, 4], "area": 9, "iscrowd": 1},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 6]},
        {"id": 3, "image_id": 3, "category_id": 2, "bbox": [4, 4, 1, 1], "area": 1},
    ],
    "categories": [{"id": 90, "name": "z"}, {"id": 2, "name": "cat"}],
}


def save(folder: Path, data: Any) -> Path:
    path = folder / "some.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_ids_with_gaps_become_labels_and_annotations_are_grouped_in_file_order(tmp_path: Path) -> None:
    index = read_coco(save(tmp_path, GOOD))
    assert index.class_names == ("cat", "z")
    assert index.category_ids.tolist() == [2, 90]
    assert index.image_ids.tolist() == [7, 3]
    assert index.annotation_ids.tolist() == [2, 1, 3]
    assert index.labels.tolist() == [0, 1, 0]
    assert index.areas.tolist() == [30, 9, 1], "a missing area is width times height"
    assert index.crowd.tolist() == [False, True, False]
    assert index.boxes(1).tolist() == [[1, 2, 4.5, 6], [4, 4, 5, 5]]
    assert index.sizes.tolist() == [[20, 30], [10, 10]]


def test_real_annotations_survive_as_pycocotools_reads_them(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/coco_tiny/annotations/instances_val2017.json"
    index = read_coco(source)
    assert index.root.resolve() == (shared / "data/coco_tiny/val2017").resolve()
    write_coco(index, tmp_path / "out.json")
    before, after = COCO(source), COCO(tmp_path / "out.json")
    assert before.getImgIds() == after.getImgIds()
    assert {k: v["name"] for k, v in before.cats.items()} == {k: v["name"] for k, v in after.cats.items()}
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    for image in before.getImgIds():
        wanted = [{key: item[key] for key in keys} for item in before.imgToAnns[image]]
        assert after.imgToAnns[image] == wanted


boxes = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=4, max_size=4)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(boxes, st.sampled_from([3, 7]), st.sampled_from([2, 90]), st.booleans()), max_size=6))
def test_round_trip_keeps_every_number(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    # Boxes that all lie in the first pixel are shares of the image, which a test of its own looks at.
    assume(not rows or any(min(box[:2]) < 0 or min(box[2:]) <= 0 or max(box) > 2 for box, *_ in rows))
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": abs(box[0]), "iscrowd": int(crowd)}
        for i, (box, image, category, crowd) in enumerate(rows)
    ]
    data = to_coco(read_coco(save(tmp_path_factory.mktemp("coco"), GOOD | {"annotations": annotations})))
    assert sorted(data["annotations"], key=lambda item: item["id"]) == annotations
    assert data["images"] == GOOD["images"]


@settings(max_examples=60, deadline=None)
@given(
    other=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
        ),
    ),
    ascii_only=st.booleans(),
)
def test_other_fields_may_hold_anything(tmp_path_factory: pytest.TempPathFactory, other: Any, ascii_only: bool) -> None:
    """Also what strict JSON lacks, NaN and Infinity, which Python writes."""
    data = copy.deepcopy(GOOD)
    for place in (data, data["images"][0], data["annotations"][1], data["categories"][0]):
        place["segmentation"] = place["\n\u00e9"] = other
    path = tmp_path_factory.mktemp("coco") / "some.json"
    path.write_bytes(json.dumps(data, ensure_ascii=ascii_only).encode())
    assert to_coco(read_coco(path)) == to_coco(read_coco(save(path.parent, GOOD)))


def test_a_letter_that_is_no_utf8_is_refused_in_every_field(tmp_path: Path) -> None:
    path = save(tmp_path, GOOD)
    path.write_bytes(path.read_bytes().replace(b'"area": 9', b'"area": 9, "caption": "\xff"'))
    with pytest.raises(InputError, match="not a JSON file .*can't decode byte 0xff"):
        read_coco(path)


def test_no_annotations_is_an_index_too(tmp_path: Path) -> None:
    index = read_coco(save(tmp_path, GOOD | {"annotations": []}))
    assert len(index) == 2 and index.xywh.shape == (0, 4) and index.boxes(1).shape == (0, 4)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("images", 1, "id"), 7, "image 7 is there twice"),
        (("images", 1, "height"), None, 'image 3 (a.jpg): "height" is None; it must be a whole number of pixels'),
        (("images", 1, "width"), 0, 'image 3 (a.jpg): "width" is 0; it must be 1 or more'),
        (("images", 1, "file_name"), "../a.jpg", 'image 3 (../a.jpg): "file_name" must be a path inside'),
        (("images", 0), 5, '"images" item 0 is a int'),
        (("annotations", 2, "image_id"), 8, 'annotation 3: "image_id" is 8, which "images" does not list'),
        (("annotations", 2, "category_id"), 1, 'annotation 3: "category_id" is 1, which "categories" does not list'),
        (("annotations", 2, "category_id"), "two", "annotation 3: \"category_id\" is 'two'; it must be a whole number"),
        (("annotations", 2, "id"), 1, "annotation 1 is there twice"),
        (("annotations", 1, "bbox"), [1, 2, 3], 'annotation 2: "bbox" is [1, 2, 3]; it must be [x, y, width, height]'),
        (("annotations", 1, "bbox"), [1, 2, 3, float("nan")], 'annotation 2: "bbox" is [1, 2, 3, nan]'),
        (("annotations", 1, "bbox"), [1, 2, 3, "4 px"], "annotation 2: \"bbox\" is [1, 2, 3, '4 px']"),
        (("annotations", 1, "area"), float("inf"), 'annotation 2: "area" is inf; it must be a finite number'),
        (("annotations", 0, "iscrowd"), 2, 'annotation 1: "iscrowd" is 2; it must be 0 or 1'),
        (("categories", 0, "name"), "cat", "two categories are named 'cat'"),
        (("categories",), {}, '"categories" is a dict; it must be a list'),
    ],
)
def test_a_flaw_is_named_with_file_and_item(tmp_path: Path, where: tuple[Any, ...], value: Any, message: str) -> None:
    data = copy.deepcopy(GOOD)
    place: Any = data
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    path = save(tmp_path, data)
    with pytest.raises(InputError) as error:
        read_coco(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "holds a JSON list"),
        ('{"images": []}', 'has no "categories"'),
        ('{"images": [], "annotations": [], "categories": []}', '"categories" is empty'),
    ],
)
def test_a_file_that_is_no_coco(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_coco(save(tmp_path, text))


def test_unsafe_file_names() -> None:
    unsafe = [
        "",
        "/a.jpg",
        "../a.jpg",
        "a/../../b.jpg",
        "C:\\a.jpg",
        "\\\\host\\a",
        "a\\..\\..\\b",
        "a\0.jpg",
        "\ud800",
    ]
    assert all(leaves_root(name) for name in unsafe)
    assert not any(leaves_root(name) for name in ["a.jpg", "x/a.jpg", "a..jpg", "12:30 noon.jpg", "é.jpg"])


@pytest.mark.parametrize("place", ["train2017", "images/train2017", "images", "annotations", "."])
def test_the_image_folder_is_found(tmp_path: Path, place: str) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "a.jpg").touch()
    path = tmp_path / "annotations/instances_train2017.json"
    path.write_text(json.dumps(GOOD))
    index = read_coco(path)
    assert index.root.samefile(tmp_path / place)
    assert np.array_equal(index.file_names, [b"b.jpg", b"a.jpg"])
