from __future__ import annotations

from pathlib import Path

import pytest

from detection.data.locate import locate
from detection.errors import InputError


def touch(root: Path, *names: str, text: str = "{}") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "format", "splits"),
    [
        (["annotations/instances_val2017.json", "annotations/captions_val2017.json"], "coco", ["val"]),
        (["my_train.json", "validation.json", "extra.json"], "coco", ["train", "val", "extra"]),
        (["annotations/instances_train2014.json", "annotations/instances_train2017.json"], "coco", None),
        (["train/_annotations.coco.json", "valid/_annotations.coco.json"], "coco", ["train", "val"]),
        (["Annotations/a.xml", "ImageSets/Main/val.txt", "ImageSets/Main/cat_val.txt"], "voc", ["val"]),
        (["Annotations/a.xml", "ImageSets/Main/default.txt"], "voc", ["train"]),
        (["a.xml", "a.jpg"], "voc", ["train"]),
        (["export.json"], "coco", ["train"]),
        (["train/a.xml", "valid/b.xml"], "voc", ["train", "val"]),
    ],
)
def test_layouts(tmp_path: Path, files: list[str], format: str, splits: list[str] | None) -> None:
    source = locate(touch(tmp_path, *files))
    assert source.format == format
    assert list(source.splits) == (splits or ["instances_train2014", "instances_train2017"])


def test_yolo_layout(tmp_path: Path) -> None:
    touch(tmp_path, "data.yaml", text="train: a\nvalid: b\ntest: ''\nnames: [x]\n")
    assert locate(tmp_path).splits == locate(tmp_path / "data.yaml").splits == {"train": "train", "val": "valid"}


def test_a_yaml_file_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a_config.yaml", text="lr: 1\n")
    touch(tmp_path, "list.yaml", text="- 1\n")
    touch(tmp_path, "mine.yml", text="train: a\nnames: [x]\n")
    touch(tmp_path, "package.json")
    assert locate(tmp_path).format == "yolo"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset found; looked for YOLO .*; for PASCAL VOC .*; for COCO"):
        locate(tmp_path)
    with pytest.raises(InputError, match="there is no such file or folder"):
        locate(tmp_path / "gone")
    with pytest.raises(InputError, match="there is no such file or folder"):
        locate(tmp_path / ("x" * 5000))
    with pytest.raises(InputError, match="unknown data format 'tsv'; it can be auto, yolo, voc, coco"):
        locate(tmp_path, "tsv")
    touch(tmp_path, "train.json")
    with pytest.raises(InputError, match="looked for PASCAL VOC"):
        locate(tmp_path, "voc")
    with pytest.raises(InputError, match="no split 'val'; there is train"):
        locate(tmp_path).read("val")


def test_real_datasets(shared: Path) -> None:
    coco = locate(shared / "data/coco_tiny")
    assert list(coco.splits) == ["train", "val"] and len(coco.read("train")) == 80
    voc = locate(shared / "data/bccd")
    train = voc.read("train")
    assert set(voc.splits) == {"train", "val", "trainval", "test"} and len(train) == 205
    assert len(voc.read("test", train.class_names)) == 72
    with pytest.raises(InputError, match="has the classes .* but RBC, WBC are needed"):
        coco.read("val", ("RBC", "WBC"))
