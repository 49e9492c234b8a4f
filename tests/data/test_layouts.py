"""Datasets are found whatever their folders are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trees

from detection.data.locate import locate
from detection.data.survey import Survey
from detection.errors import InputError


@pytest.mark.parametrize(
    ("annotations", "images"),
    [("annotations", "images"), ("Labels", "Pictures/all"), ("xml", "."), ("set/annots", "set/images")],
)
def test_voc_in_any_folders(tmp_path: Path, annotations: str, images: str) -> None:
    trees.pictures(tmp_path / images)
    for stem in "abc":
        trees.save(tmp_path / annotations / f"{stem}.xml", trees.voc(stem))
    assert trees.read(tmp_path)[0] == trees.truth()


def test_splits_are_told_by_folders_and_each_finds_its_own_image(tmp_path: Path) -> None:
    """Both splits have an image of one name, apart from their annotations."""
    for split, stem in (("Train", "a"), ("VALID", "b")):
        trees.picture(tmp_path / "pictures" / split / "1.png")
        trees.save(tmp_path / "xml" / split / "1.xml", trees.voc(stem))
    source = locate(tmp_path)
    assert list(source.splits) == ["train", "val"]
    for split, stem, folder in (("train", "a", "Train"), ("val", "b", "VALID")):
        index = source.read(split, ("cat", "dog"))
        assert index.path(0).parent.name == folder
        assert trees.seen(index)["1"] == trees.truth()[stem]


def test_an_image_that_could_be_two_is_not_guessed(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        trees.picture(tmp_path / folder / "a.png")
    assert Survey(tmp_path).find("a.png") is None
    assert Survey(tmp_path).find("/else/two/a.png") == ("two/a.png", "name")
    assert Survey(tmp_path).find("one\\a") is None or Survey(tmp_path).find("one\\a") == ("one/a.png", "stem")
    trees.save(tmp_path / "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,cat,1,2,3,4\n")
    with pytest.raises(InputError, match=r"boxes.csv:2: the image 'a.png' .* several could be meant"):
        locate(tmp_path).read("train")


@pytest.mark.parametrize("place", ["data", "images/deep"])
def test_coco_images_anywhere(tmp_path: Path, place: str) -> None:
    trees.pictures(tmp_path / place)
    trees.save(tmp_path / "export/result.json", trees.coco())
    found, notes = trees.read(tmp_path)
    assert found == trees.truth()
    assert "found COCO JSON in export/, images in" in notes and "no split files" in notes


def test_yolo_without_a_yaml(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "pics/train", "ab")
    trees.pictures(tmp_path / "pics/val", "c")
    for stem, split in zip("abc", ("train", "train", "val")):
        trees.save(tmp_path / "txt" / split / f"{stem}.txt", trees.yolo(stem))
    numbered, notes = trees.read(tmp_path)
    assert [name for name, _ in numbered["a"]] == ["0", "1"] and "called by their numbers" in notes
    trees.save(tmp_path / "my.yaml", "names: [no, yes]\n")
    assert [name for name, _ in trees.read(tmp_path)[0]["a"]] == ["no", "yes"]
    trees.save(tmp_path / "classes.txt", "cat\ndog\n\n")
    assert trees.read(tmp_path)[0] == trees.truth("ab") and trees.read(tmp_path, "val")[0] == trees.truth("c")


def test_darknet_lists(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "obj")
    for stem in "abc":
        trees.save(tmp_path / f"obj/{stem}.txt", trees.yolo(stem))
    trees.save(tmp_path / "obj.names", "cat\ndog\n")
    trees.save(
        tmp_path / "obj.data", "classes = 2\ntrain = build/train.txt\nvalid = build/valid.txt\nnames = obj.names"
    )
    trees.save(tmp_path / "train.txt", "/content/obj/a.png\ndata/obj/b.png\n")
    trees.save(tmp_path / "valid.txt", "obj\\c.png\n")
    assert trees.read(tmp_path)[0] == trees.truth("ab") and trees.read(tmp_path, "val")[0] == trees.truth("c")


def test_label_folders_in_another_case(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "Images/train")
    for stem in "abc":
        trees.save(tmp_path / f"Labels/train/{stem}.txt", trees.yolo(stem))
    trees.save(tmp_path / "data.yaml", "train: Images/train\nnames: [cat, dog]\n")
    assert trees.read(tmp_path)[0] == trees.truth()


@pytest.mark.parametrize("inside", [".", "wrapped/twice"])
def test_an_archive_is_unpacked_beside_itself_once(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "made" / inside
    trees.pictures(folder / "images")
    trees.save(folder / "annotations.json", trees.coco())
    archive = Path(shutil.make_archive(str(tmp_path / "down/set"), "gztar", tmp_path / "made"))
    assert trees.read(archive)[0] == trees.truth()
    made = (archive.parent / "set.unpacked").stat().st_mtime_ns
    assert trees.read(archive.parent)[0] == trees.truth()
    assert (archive.parent / "set.unpacked").stat().st_mtime_ns == made


def test_what_is_there_is_said_where_nothing_is_found(tmp_path: Path) -> None:
    trees.pictures(tmp_path)
    with pytest.raises(InputError, match="there are 3 images and no annotation file; known formats are COCO JSON, VOC"):
        locate(tmp_path)
    trees.save(tmp_path / "package.json", {"name": "x"})
    with pytest.raises(InputError, match="3 images and 1 other files, none of which is an annotation file"):
        locate(tmp_path)


def test_where_two_formats_lie_the_other_can_be_chosen(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "img")
    for stem in "abc":
        trees.save(tmp_path / "xml" / f"{stem}.xml", trees.voc(stem))
    trees.save(tmp_path / "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,cow,1,2,3,4\n")
    found, notes = trees.read(tmp_path)
    assert found == trees.truth() and "also CSV tables, for which --dataset.format" in notes
    assert trees.read(tmp_path, format="csv")[0] == {"a": [("cow", [1, 2, 2, 2])], "b": [], "c": []}


def test_a_missing_image_is_not_taken_from_another_split(tmp_path: Path) -> None:
    for split, stems in (("train", "ab"), ("val", "b")):
        trees.pictures(tmp_path / split, stems)
        trees.save(tmp_path / f"annotations/instances_{split}.json", trees.coco("ab"))
    index = locate(tmp_path).read("val")
    assert [index.path(i).is_file() for i in range(2)] == [False, True]
    assert Survey(tmp_path).find("a.png", "val") is None and Survey(tmp_path).find("a.png", "other") is not None


def test_images_are_not_sought_above_the_folder_of_a_file(tmp_path: Path) -> None:
    """Unless it is one of annotations alone: what lies beside a dataset belongs to another."""
    trees.pictures(tmp_path / "other")
    for name, there in (("coco", False), ("annotations", True)):
        index = locate(trees.save(tmp_path / name / "set.json", trees.coco())).read("train")
        assert [index.path(i).is_file() for i in range(3)] == [there] * 3
