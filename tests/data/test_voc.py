from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection.data.voc import read_voc, stem, write_voc
from detection.errors import InputError

SIZE = "<size><width>20</width><height>10</height></size>"
CAT = (
    "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>10</ymax></bndbox>"
    "<part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part></object>"
)
DOG = CAT.replace("cat", "dog").replace("<bndbox>", "<difficult>1</difficult><bndbox>", 1)


def make(root: Path, **files: str) -> Path:
    """A VOC folder whose XML files hold `files`, all in split train."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{body}</annotation>")
    (root / "ImageSets/Main/train.txt").write_text("".join(f"{name}\n" for name in files))
    return root


def test_pixels_count_from_one_and_include_the_last(tmp_path: Path) -> None:
    root = make(tmp_path, b=SIZE + "<filename>lie.jpg</filename>" + CAT + DOG, a=SIZE)
    (root / "JPEGImages/b.PNG").touch()
    index = read_voc(root, "train")
    assert index.xywh.tolist() == [[0, 1, 20, 9], [0, 1, 20, 9]]
    assert index.class_names == ("cat", "dog") and index.labels.tolist() == [0, 1]
    assert index.difficult.tolist() == [False, True] and index.offsets.tolist() == [0, 2, 2]
    assert index.sizes.tolist() == [[10, 20], [10, 20]] and index.areas.tolist() == [180, 180]
    assert index.file_names.tolist() == [b"JPEGImages/b.PNG", b"JPEGImages/a.jpg"]
    assert stem(index, 0) == "b" and index.image_ids.tolist() == [1, 2]


def test_a_flat_folder_is_read_whole(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.xml").write_text(f"<annotation>{SIZE}{CAT}</annotation>")
        (tmp_path / f"{name}.jpeg").touch()
    assert read_voc(tmp_path, "train").file_names.tolist() == [b"a.jpeg", b"b.jpeg"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (CAT, "{}: has no <size>"),
        (SIZE.replace("20", "0"), "{}: <size> is 0x10"),
        (SIZE + CAT + CAT.replace("<xmax>20</xmax>", "", 1), "{}: object 2 (cat): <bndbox/xmax> is missing"),
        (SIZE + CAT.replace(">20<", ">nan<"), "{}: object 1 (cat): <bndbox/xmax> is 'nan'"),
        (SIZE + CAT.replace("<name>cat</name>", "", 1), "{}: object 1: has no <name>"),
        (SIZE + DOG.replace("cult>1", "cult>maybe"), "{}: object 1 (dog): <difficult> is 'maybe'"),
        (SIZE + DOG.replace("dog", "cow"), "{}: object 1: class 'cow' is not one of cat, dog"),
        ("<size>", "{}: not a plain XML file"),
    ],
)
def test_a_flaw_is_named_with_file_and_object(tmp_path: Path, body: str, message: str) -> None:
    root = make(tmp_path, bad=body)
    with pytest.raises(InputError) as error:
        read_voc(root, "train", ("cat", "dog"))
    assert str(error.value).startswith(message.format(root / "Annotations/bad.xml"))


def test_hostile_xml_and_lists_are_refused(tmp_path: Path) -> None:
    root = make(tmp_path, a=SIZE)
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
    (root / "Annotations/a.xml").write_text(bomb)
    with pytest.raises(InputError, match="a.xml: not a plain XML file"):
        read_voc(root, "train")
    (root / "ImageSets/Main/train.txt").write_text("a\n../../etc/passwd\n")
    with pytest.raises(InputError, match=r"train.txt:2: .* is not an image name"):
        read_voc(root, "train")
    (root / "ImageSets/Main/train.txt").write_text("gone\n")
    with pytest.raises(InputError, match=r"train.txt:1: 'gone' has no"):
        read_voc(root, "train")


def test_real_annotations_survive_a_round_trip(shared: Path, tmp_path: Path) -> None:
    index = read_voc(shared / "data/bccd", "val")
    assert index.class_names == ("Platelets", "RBC", "WBC") and len(index) == 87
    write_voc(index, tmp_path, "val")
    again = read_voc(tmp_path, "val", index.class_names)
    for name in ("xywh", "labels", "areas", "offsets", "sizes", "difficult"):
        assert np.array_equal(getattr(index, name), getattr(again, name)), name
    assert [stem(again, i) for i in range(87)] == [stem(index, i) for i in range(87)]


def test_images_of_one_stem_cannot_be_written(tmp_path: Path) -> None:
    index = read_voc(make(tmp_path, a=SIZE, b=SIZE), "train")
    twice = replace(index, file_names=np.array([b"x/1.jpg", b"y/1.jpg"]))
    with pytest.raises(InputError, match="two images are both named '1'"):
        write_voc(twice, tmp_path / "out")
