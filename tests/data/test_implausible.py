"""Values that cannot be meant are told; what is no file is refused, not waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trees

from detection.data.locate import locate
from detection.errors import InputError

BOXES = [box[2] * box[3] for stem in "abc" for _, box in trees.TRUTH[stem]]


@pytest.mark.parametrize(
    ("areas", "wanted", "told"),
    [
        ([-3, 9, 9, 9], [BOXES[0], 9, 9, 9], "1 areas were below zero: width times height (the first: annotation 1)"),
        ([9, 9, 9, 9e5], [9, 9, 9, 9e5], "1 areas are over 2 times their box's: kept, "),
        ([0, 0, 0, 0], BOXES, "4 areas were all zero: width times height"),
        ([0, 9, 9, 9], [0, 9, 9, 9], None),
        ([1.9 * area for area in BOXES], [1.9 * area for area in BOXES], None),
    ],
)
def test_implausible_areas_are_told(tmp_path, areas, wanted, told):
    trees.pictures(tmp_path)
    content = trees.coco()
    for annotation, area in zip(content["annotations"], areas):
        annotation["area"] = area
    index = locate(trees.save(tmp_path / "boxes.json", content)).read("train")
    assert index.areas.tolist() == pytest.approx(wanted)
    notes = [note for note in index.notes if " areas " in note]
    assert len(notes) == bool(told) and all(note.startswith(told) for note in notes)


def test_two_boxes_of_an_object_are_refused_by_name(tmp_path):
    trees.pictures(tmp_path / "JPEGImages")
    for stem in "abc":
        text = trees.voc(stem)
        box = text[text.index("<bndbox>") : text.index("</bndbox>") + len("</bndbox>")]
        trees.save(tmp_path / f"Annotations/{stem}.xml", text.replace(box, 2 * box, 1) if stem == "b" else text)
    with pytest.raises(InputError, match=r"b.xml.* has more than one <bndbox>"):
        locate(tmp_path).read("train")
    flawed: list[str] = []
    assert len(locate(tmp_path).read("train", report=flawed.append)) and len(flawed) == 1


def voc(root: Path) -> None:
    trees.pictures(root / "JPEGImages")
    for stem in "ab":
        trees.save(root / f"Annotations/{stem}.xml", trees.voc(stem))


def yolo(root: Path) -> None:
    trees.pictures(root / "images/train")
    for stem in "ab":
        trees.save(root / f"labels/train/{stem}.txt", trees.yolo(stem))
    trees.save(root / "data.yaml", "train: images/train\nnames: [cat, dog]\n")


def pictures(root: Path) -> None:
    trees.pictures(root / "images")


@pytest.mark.parametrize(
    ("lay_out", "pipe"),
    [
        (voc, "Annotations/c.xml"),
        (voc, "ImageSets/Main/train.txt"),
        (yolo, "labels/train/c.txt"),
        (pictures, "annotations/instances_train.json"),
        (pictures, "data.yaml"),
        (pictures, "boxes.csv"),
        (pictures, "images/metadata.jsonl"),
        (pictures, "images/classes.txt"),
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path: Path, lay_out: Callable[[Path], None], pipe: str) -> None:
    """A reader that waited would hang this test."""
    lay_out(tmp_path)
    (tmp_path / pipe).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / pipe)
    with pytest.raises(InputError, match=f"{pipe}: is no file but a folder, pipe or device"):
        locate(tmp_path).read("train")


def test_a_pipe_as_the_dataset_is_refused(tmp_path):
    os.mkfifo(tmp_path / "data.json")
    with pytest.raises(InputError, match=r"data.json: is a pipe or device"):
        locate(tmp_path / "data.json")
