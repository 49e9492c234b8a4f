"""Detections in the forms of other tools are what the readers of datasets read back; lists, crops and classes."""

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.cli import predict
from detection.cli.main import main
from detection.config.schema import Config, DatasetConfig
from detection.loading.datasets import find_data
from detection.predict.formats import FORMS, write_forms

CLASSES = ("cat", "dog, big", "<b>")
RECORDS = [
    {
        "file": "a/one.png",
        "size": [40, 60],
        "detections": [
            {"box": [1.0, 2.0, 31.0, 22.0], "score": 0.9, "class": "cat", "label": 0},
            {"box": [5.0, 6.0, 45.0, 36.0], "score": 0.7, "class": "<b>", "label": 2},
        ],
    },
    {"file": "b/two.png", "size": [30, 30], "detections": []},
    {
        "file": "b/three.png",
        "size": [30, 50],
        "detections": [{"box": [0.0, 0.0, 50.0, 30.0], "score": 0.55, "class": "dog, big", "label": 1}],
    },
]
NAMES = {"a/one.png": "one", "b/two.png": "two", "b/three.png": "three"}


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for record in RECORDS:
        path = Path(record["file"])
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (record["size"][1], record["size"][0])).save(path)
    return write_forms(tmp_path / "out", list(FORMS), RECORDS, NAMES, CLASSES)


def test_every_form_that_is_offered_is_there():
    assert tuple(FORMS) == predict.FORMS


@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelme"])
def test_the_datasets_reader_reads_them_back(form, written, tmp_path):
    data = tmp_path / "data"
    if form == "coco":
        shutil.copytree(tmp_path / "out", data)
        config = Config(data=str(data / "coco.json"), dataset=DatasetConfig(images=str(tmp_path)))
    else:
        folder = written[form][-1].parent
        (data / "images").mkdir(parents=True)
        for record in RECORDS:
            shutil.copy(record["file"], data / "images")
        shutil.copytree(folder, data / folder.name)
        config = Config(data=str(data))
    source = find_data(config)
    index = source.read(next(iter(source.splits)))
    found = {}
    for row in range(len(index)):
        labels = [index.class_names[label] for label in index.labels[index.rows(row)]]
        found[Path(index.file_names[row].decode()).name] = list(zip(labels, index.boxes(row).round().tolist()))
    expected = {
        Path(record["file"]).name: [(each["class"], each["box"]) for each in record["detections"]] for record in RECORDS
    }
    assert {name: sorted(boxes) for name, boxes in found.items() if boxes} == {
        name: sorted(boxes) for name, boxes in expected.items() if boxes
    }


def test_the_table(written):
    with written["csv"][0].open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["class"] for row in rows] == ["cat", "<b>", "dog, big"] and rows[2]["x2"] == "50.0"


def test_lists_classes_forms_and_crops(trained, shapes, tmp_path, monkeypatch, capsys):
    images = sorted((shapes / "val").iterdir())
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{image}\n" for image in images[:2]))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{images[2]}\n"))
    words = ["predict", str(listed), "-", f"--checkpoint={trained / 'best.pt'}", "--score=0.05", "--classes=star,ring"]
    out = tmp_path / "out"
    assert main([*words, f"--output={out}", "--save", "coco", "yolo", "--crops"]) == 0
    records = json.loads((out / "predictions.json").read_text())
    assert [record["file"] for record in records] == [str(image) for image in images]
    found = [each for record in records for each in record["detections"]]
    assert found and {each["class"] for each in found} <= {"star", "ring"}
    coco = json.loads((out / "coco.json").read_text())
    assert len(coco["annotations"]) == len(found) and len(list((out / "labels").glob("*.txt"))) == 4
    crops = list((out / "crops").rglob("*.jpg"))
    assert 0 < len(crops) <= len(found) and {crop.parent.name for crop in crops} <= {"star", "ring"}
    assert np.asarray(Image.open(crops[0])).ndim == 3


def test_refusals(trained, shapes, tmp_path, capsys):
    words = [f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / 'out'}"]
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    for more, because in (
        ([str(empty)], "empty.txt: lists no image"),
        ([str(shapes / "val"), "--classes=moon"], "--classes: there is no class 'moon'; there are circle, "),
        ([str(shapes / "val"), "--every=2"], "--every: has no effect on images"),
        ([str(tmp_path / "none.mp4")], "none.mp4: there is no such video"),
        ([str(tmp_path / "none.mp4"), str(shapes / "val")], "is no video, and"),
        ([str(tmp_path / "none.mp4"), "--crops"], "--crops: has no effect on videos"),
    ):
        assert main(["predict", *more, *words]) == 2
        assert because in capsys.readouterr().err
