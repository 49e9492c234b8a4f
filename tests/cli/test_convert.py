"""`frcnn convert` from end to end: what is read of the copy is what was read of the dataset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trees
from PIL import Image

from detection.cli.main import main
from detection.data.locate import locate


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_a_copy_in_another_format_reads_the_same(tmp_path: Path, format: str) -> None:
    """Of fractions too, which VOC writes from 1 and says so; two splits have an image of one name."""
    for split, stem in (("train", "a"), ("val", "b")):
        data = trees.coco(stem)
        data["images"][0]["file_name"] = "1.png"
        for item in data["annotations"]:
            item["bbox"] = [value + 0.25 for value in item["bbox"]]
        trees.picture(tmp_path / "in" / split / "1.png")
        trees.save(tmp_path / f"in/annotations/instances_{split}.json", data)
    assert main(["convert", f"--data={tmp_path / 'in'}", f"--to={format}", str(tmp_path / "out")]) == 0
    before, after = locate(tmp_path / "in"), locate(tmp_path / "out")
    assert after.format == format and list(after.splits) == ["train", "val"]
    for split in ("train", "val"):
        one, two = before.read(split), after.read(split, ("cat", "dog"))
        assert np.allclose(one.xywh, two.xywh, atol=1e-6) and one.labels.tolist() == two.labels.tolist()
        assert two.path(0).samefile(one.path(0)), "a hard link"


def test_what_is_lost_is_counted(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(shapes, tmp_path / "data")
    file = folder / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1]["image_id"] = 999
    file.write_text(json.dumps(content))
    next((folder / "val").iterdir()).unlink()
    assert main(["convert", f"--data={folder}", "--to=yolo", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "1 crowds are left out" in told and "1 items cannot be read, left out" in told
    assert "val: left out 1 image without a file" in told and "val: 2 images" in told


def test_nothing_is_overwritten(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert main(["convert", f"--data={shapes}", "--to=voc", str(tmp_path / "full")]) == 2
    assert main(["convert", f"--data={shapes}", "--to=voc", str(shapes / "inside")]) == 2
    told = capsys.readouterr().err
    assert "is there already" in told and "is inside the dataset" in told


def test_boxes_of_the_stored_picture_are_converted_to_the_shown_one(tmp_path: Path) -> None:
    """YOLO's shares are of the picture that is shown, whatever the size that was annotated."""
    trees.pictures(tmp_path / "in/images", "b")
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(tmp_path / "in/images/b.png") as picture:
        picture.copy().save(tmp_path / "in/images/b.png", exif=exif)
    trees.save(tmp_path / "in/boxes.json", trees.coco("b"))
    assert main(["convert", f"--data={tmp_path / 'in'}", "--to=yolo", str(tmp_path / "out")]) == 0
    index, (x, y, w, h) = locate(tmp_path / "out").read("train"), trees.TRUTH["b"][0][1]
    assert index.sizes.tolist() == [[trees.WIDTH, trees.HEIGHT]]
    assert index.xywh[0] == pytest.approx([trees.HEIGHT - y - h, x, h, w], abs=1e-3)
