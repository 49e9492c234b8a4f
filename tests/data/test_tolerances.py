"""What has one sensible meaning is read so and counted; what has two is refused, or left out where that is wanted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trees

from detection.data.check import check_index
from detection.data.locate import locate
from detection.errors import InputError

Change = Callable[[dict[str, Any]], None]


def every(section: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    return lambda data: [change(item) for item in data[section]]  # type: ignore[return-value]


def outline(item: dict[str, Any]) -> None:
    x1, y1, x2, y2 = trees.corners(item.pop("bbox"))
    item["segmentation"] = [[x1, y1, x2, y1, x2, y2], [x1, y2, x1, y1, x2, y1]]


def mask(item: dict[str, Any]) -> None:
    import numpy as np
    from pycocotools import mask as masks

    x1, y1, x2, y2 = trees.corners(item.pop("bbox"))
    pixels = np.zeros((trees.HEIGHT, trees.WIDTH), dtype=np.uint8, order="F")
    pixels[y1:y2, x1:x2] = 1
    runs = masks.encode(pixels)
    item["segmentation"] = {"size": [trees.HEIGHT, trees.WIDTH], "counts": runs["counts"].decode()}


def shares(data: dict[str, Any]) -> None:
    for item in data["annotations"]:
        x, y, w, h = item["bbox"]
        item["bbox"] = [x / trees.WIDTH, y / trees.HEIGHT, w / trees.WIDTH, h / trees.HEIGHT]


COCO: dict[str, tuple[Change, str]] = {
    "ids as texts": (every("images", lambda i: i.update(id=str(i["id"]))), "3 image ids were written as texts"),
    "fractions": (every("annotations", lambda a: a.update(category_id=a["category_id"] + 0.0)), "read as whole"),
    "no sizes": (every("images", lambda i: i.pop("width")), "3 sizes were missing or zero"),
    "sizes of 0": (every("images", lambda i: i.update(width=0, height=0)), "3 sizes were missing or zero"),
    "texts": (every("annotations", lambda a: a.update(bbox=[*map(str, a["bbox"])])), "4 boxes were written as"),
    "nan": (every("annotations", lambda a: a.update(area=float("nan"))), "4 areas were not a number"),
    "outlines": (every("annotations", outline), "4 boxes were missing"),
    "masks": (every("annotations", mask), "4 boxes were missing"),
    "shares": (shares, "4 boxes were shares of the image"),
    "no ids": (every("annotations", lambda a: a.pop("id")), "4 annotation ids were missing"),
    "one without id": (lambda d: d["annotations"][1].pop("id"), "1 annotation ids were missing"),
    "crowd": (every("annotations", lambda a: a.update(iscrowd="0")), "4 iscrowd were"),
    "drive": (every("images", lambda i: i.update(file_name=f"D:\\x\\{i['file_name']}")), "3 image paths are"),
    "climbing": (every("images", lambda i: i.update(file_name=f"../y/{i['file_name']}")), "3 image paths are"),
    "backslashes": (every("images", lambda i: i.update(file_name=f"images\\{i['file_name']}")), "3 file names had"),
    "web": (every("images", lambda i: i.update(file_name=f"http://h/{i['file_name']}")), "found by name"),
}  # fmt: skip


@pytest.mark.parametrize("name", COCO)
def test_coco_is_read_as_it_is_meant_and_counted(tmp_path: Path, name: str) -> None:
    change, told = COCO[name]
    data = trees.coco()
    change(data)
    trees.pictures(tmp_path / "images")
    trees.save(tmp_path / "labels.json", data)
    found, notes = trees.read(tmp_path)
    assert found == trees.truth()
    assert notes.count(told) == 1, notes


def test_a_file_as_it_should_be_has_nothing_to_tell(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "train")
    trees.save(tmp_path / "annotations/instances_train.json", trees.coco())
    index = locate(tmp_path).read("train")
    assert trees.seen(index) == trees.truth() and index.notes == () and set(index.areas.tolist()) == {1.5}


def test_ids_that_are_no_numbers_are_numbered(tmp_path: Path) -> None:
    data = trees.coco()
    for item in data["images"]:
        item["id"] = f"x{item['id']}"
    for item in data["annotations"]:
        item["image_id"] = f"x{item['image_id']}"
    trees.pictures(tmp_path)
    trees.save(tmp_path / "labels.json", data)
    assert trees.read(tmp_path)[0] == trees.truth()
    assert locate(tmp_path).read("train").image_ids.tolist() == [1, 2, 3]


def test_a_heading_is_no_class_unless_a_split_uses_it(tmp_path: Path) -> None:
    for split, stems in (("train", "ab"), ("valid", "c")):
        data = trees.coco(stems)
        data["categories"] = [{"id": 0, "name": "pets", "supercategory": "none"}] + [
            {**c, "supercategory": "pets"} for c in data["categories"]
        ]
        trees.pictures(tmp_path / split, stems)
        trees.save(tmp_path / split / "_annotations.coco.json", data)
    index = locate(tmp_path).read("train")
    assert index.class_names == ("cat", "dog") and index.category_ids.tolist() == [3, 7]
    assert "'pets': a heading" in index.notes[0] and trees.seen(index) == trees.truth("ab")
    file = tmp_path / "valid/_annotations.coco.json"
    data = json.loads(file.read_text())
    data["annotations"][0]["category_id"] = 0
    file.write_text(json.dumps(data))
    assert locate(tmp_path).read("train").class_names == ("pets", "cat", "dog")


@pytest.mark.parametrize("counts", ["P" * 100, "0\x00", [5, 5], [-1, 4801]])
def test_a_broken_mask_is_no_box(tmp_path: Path, counts: Any) -> None:
    data = trees.coco()
    del data["annotations"][0]["bbox"]
    data["annotations"][0]["segmentation"] = {"size": [60, 80], "counts": counts}
    trees.pictures(tmp_path)
    trees.save(tmp_path / "labels.json", data)
    with pytest.raises(InputError, match='annotation 1: "bbox" is missing'):
        locate(tmp_path).read("train")


VOC: dict[str, tuple[Callable[[str], str], int, str]] = {
    "no size": (lambda t: t[: t.index("<size>")] + t[t.index("</size>") + 7 :], 1, "3 sizes were missing"),
    "words": (lambda t: t.replace("<bndbox>", "<difficult>Unspecified</difficult><bndbox>"), 1, "4 <difficult> were"),
    "namespace": (lambda t: t.replace("<annotation>", '<annotation xmlns="http://x">'), 1, ""),
    "fractions": (lambda t: t.replace("</xmin>", ".0</xmin>"), 0, "pixels count from 0"),
    "swapped": (lambda t: re.sub("xm(in|ax)", lambda m: "xmax" if m[1] == "in" else "xmin", t), 1, "4 boxes had"),
    "latin-1 path": (lambda t: t.replace("<size>", "<path>caf\xe9</path><size>"), 1, ""),
    "declared": (lambda t: '<?xml version="1.0" encoding="gb2312"?>' + t, 1, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", VOC)
def test_voc_is_read_as_it_is_meant_and_counted(tmp_path: Path, name: str) -> None:
    change, shift, told = VOC[name]
    trees.pictures(tmp_path / "JPEGImages")
    for stem in "abc":
        file = trees.save(tmp_path / "Annotations" / f"{stem}.xml", "")
        file.write_bytes(change(trees.voc(stem, shift=shift)).encode("latin-1"))
    found, notes = trees.read(tmp_path)
    assert found == trees.truth() and told in notes, notes


def test_a_zero_in_another_split_says_how_voc_counts(tmp_path: Path) -> None:
    for split, stem in (("train", "a"), ("valid", "b")):
        trees.pictures(tmp_path / split, stem)
        trees.save(tmp_path / split / f"{stem}.xml", trees.voc(stem, shift=0))
    file = tmp_path / "valid/b.xml"
    file.write_text(file.read_text().replace("<ymin>2<", "<ymin>0<"))
    found, notes = trees.read(tmp_path)
    assert found == trees.truth("a") and "pixels count from 0" in notes


def test_fractions_of_the_devkit_and_of_our_own_files_count_from_one(tmp_path: Path) -> None:
    mark = "<source><annotation>PASCAL VOC2012</annotation></source>"
    trees.pictures(tmp_path, "ab")
    trees.save(tmp_path / "a.xml", trees.voc("a", mark).replace("</xmax>", ".0</xmax>"))
    trees.save(tmp_path / "b.xml", trees.voc("b", mark))
    assert trees.read(tmp_path) == (trees.truth("ab"), "")


def test_two_boxes_in_an_object_are_refused_or_left_out(tmp_path: Path) -> None:
    trees.pictures(tmp_path, "a")
    text = trees.voc("a")
    box = text[text.index("<bndbox>") : text.index("</bndbox>") + 9]
    trees.save(tmp_path / "a.xml", text.replace(box, box * 2, 1))
    with pytest.raises(InputError, match=r"a.xml: object 1 \(cat\): has more than one <bndbox>"):
        locate(tmp_path).read("train")
    told: list[str] = []
    index = locate(tmp_path).read("train", report=told.append)
    assert trees.seen(index) == {"a": trees.truth()["a"][1:]} and len(told) == 1


YOLO: dict[str, tuple[str, str, str]] = {
    "confidence": (" 0.97", "", "4 boxes have a confidence"),
    "track": (" 17", "", "4 boxes have a confidence"),
    "pose": (" 0.1 0.1 2 0.5 0.5 1", "kpt_shape: [2, 3]\n", "4 rows are of poses"),
}


@pytest.mark.parametrize("name", YOLO)
def test_yolo_rows_are_told_by_their_length(tmp_path: Path, name: str) -> None:
    more, yaml, told = YOLO[name]
    trees.pictures(tmp_path / "images")
    for stem in "abc":
        trees.save(tmp_path / "labels" / f"{stem}.txt", trees.yolo(stem, more))
    trees.save(tmp_path / "data.yaml", f"train: images\nnames: [cat, dog]\n{yaml}")
    found, notes = trees.read(tmp_path)
    assert found == trees.truth() and told in notes


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ("names: [yes, no, null]", ("yes", "no", "null")),
        ("names: {0: off, 1: 1e3, 2: ~}", ("off", "1e3", "~")),
        ("nc: 2", ("0", "1")),
        ("nc: 2\nnames: [007, 08]\nval: null", ("007", "08")),
    ],
)
def test_class_names_are_as_written(tmp_path: Path, names: str, wanted: tuple[str, ...]) -> None:
    trees.pictures(tmp_path / "images")
    trees.save(tmp_path / "data.yaml", f"train: images\n{names}\n")
    source = locate(tmp_path)
    assert source.read("train").class_names == wanted and list(source.splits) == ["train"]


def test_boxes_that_are_nearly_all_specks_are_a_fault_of_the_reading(tmp_path: Path) -> None:
    data = trees.coco("a")
    data["annotations"] = [
        data["annotations"][0] | {"id": k, "bbox": [1 + k % 2, 3, 1, 1.5]} for k in range(12)
    ]  # fmt: skip
    trees.pictures(tmp_path, "a")
    trees.save(tmp_path / "labels.json", data)
    for policy in ("error", "skip"):
        with pytest.raises(InputError, match="12 of 12 boxes are under 2 pixels"):
            check_index(locate(tmp_path).read("train"), policy, decode=False)


@pytest.mark.parametrize(
    "entry",
    ["/content/set/images/train", "C:\\set\\images\\train", "../images/train", "images\\train", "lists/all.txt"],
)
def test_paths_of_another_machine_in_a_data_yaml(tmp_path: Path, entry: str) -> None:
    trees.pictures(tmp_path / "images/train")
    for stem in "abc":
        trees.save(tmp_path / f"labels/train/{stem}.txt", trees.yolo(stem))
    trees.save(tmp_path / "lists/all.txt", "".join(f"/content/images/train/{s}.png\n" for s in "ab"))
    if entry.startswith("lists"):
        (tmp_path / "lists/all.txt").rename(tmp_path / "all.txt")
        entry = "/content/all.txt"
    trees.save(tmp_path / "data.yaml", json.dumps({"train": entry, "names": ["cat", "dog"]}))
    assert trees.read(tmp_path)[0] == trees.truth("ab" if entry.endswith("txt") else "abc")


def test_a_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.xml", "a.csv", "a.txt", "a.yaml"):
        folder = tmp_path / name
        trees.pictures(folder / "img")
        os.mkfifo(folder / name)
        with pytest.raises(InputError, match=f"{name}: is no file but a folder, pipe or device"):
            locate(folder)
    folder = tmp_path / "json"
    trees.pictures(folder)
    os.mkfifo(folder / "a.json")
    with pytest.raises(InputError, match="a.json: is no file"):
        locate(folder).read("train")
