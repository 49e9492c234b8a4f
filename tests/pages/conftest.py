"""A folder in which the commands of the pages find what they name: data, images and runs, all small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from page_exports import write_exports
from page_weights import write_coco_detector
from shell_lines import NOT_RUN, Shell, copy_of

import detection
from detection.cli.main import main
from detection.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]

NAMES = ("car", "truck", "person", "bus", "RBC", "WBC")
"""Classes that pages speak of, for those of the shapes."""


@pytest.fixture(scope="session")
def prepared(classes: Path, pretrained: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each page gets a copy of."""
    root = tmp_path_factory.mktemp("pages") / "place"
    drawn = write_shapes(root / "drawn", train=12, val=4, size=96, seed=3)
    for file in (drawn / "annotations").iterdir():
        content = json.loads(file.read_text())
        content["categories"] = [each | {"name": name} for each, name in zip(content["categories"], NAMES)]
        for k, image in enumerate(content["images"]):
            folder, name = drawn / file.stem.removeprefix("instances_"), f"clip{k % 4}_{image['file_name']}"
            (folder / image["file_name"]).rename(folder / name)
            image["file_name"] = name
        file.write_text(json.dumps(content))
    data = root / "PATH"
    assert main(["split", "0.5", "0.25", "0.25", f"--data={drawn}", f"--output={data}"]) == 0
    assert main(["convert", f"--data={data}", "--to=voc", str(root / "bccd")]) == 0
    sets = root / "bccd" / "ImageSets" / "Main"
    (sets / "trainval.txt").write_text("".join((sets / f"{name}.txt").read_text() for name in ("train", "val")))
    for name in ("A", "B"):
        shutil.copytree(drawn, root / name)
    for name in ("IMAGENET", "CIFAR10"):
        shutil.copytree(classes, root / name)
    _images(root, drawn)
    write_exports(root / "exports")
    shutil.copy(root / "exports" / "cvat.zip", root / "my_data.zip")
    write_coco_detector(root / "coco.pth")
    shutil.rmtree(drawn)
    run, best = root / "runs" / "train", root / "runs" / "train" / "best.pt"
    assert main(["train", *tiny, f"--data={data}", f"--output={run}"]) == 0
    for name in ("a", "b", "cells"):
        shutil.copytree(run, root / "runs" / name)
    assert main(["export", f"--checkpoint={best}", f"--output={root / 'scratches.onnx'}"]) == 0
    shutil.copytree(pretrained, root / "runs" / "imagenet-modern")
    shutil.copy(best, root / "resnet18.pt")
    shutil.copy(run / "predictions.json", root / "other.json")
    found = json.loads((run / "predictions.json").read_text())
    few = [each for each in found if each["image_id"] < 4 and each["category_id"] < 4]  # which bccd has as well
    (root / "predictions.json").write_text(json.dumps(few))
    return root


def _images(root: Path, drawn: Path) -> None:
    """Photos, a large picture, a film and lists of them."""
    photo = min((drawn / "val").iterdir())
    named = ("photos/1.jpg", "photos/2.jpg", "more/deeper/3.jpg", "photo.jpg", "a.jpg", "b.jpg")
    copy_of(photo, *(root / name for name in named))
    copy_of(photo, root / "bccd" / "JPEGImages" / "BloodImage_00007.jpg")
    pixels = cv2.imread(str(photo))
    cv2.imwrite(str(root / "aerial.tif"), cv2.resize(pixels, (900, 700)))
    cv2.imwrite(str(root / "more" / "4.png"), pixels)
    video = cv2.VideoWriter(str(root / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 96))
    for _ in range(6):
        video.write(pixels)
    video.release()
    (root / "list.txt").write_text("photo.jpg\n")
    names = [image["file_name"] for image in json.loads(_annotations(root, "val").read_text())["images"]]
    (root / "images.csv").write_text("\n".join(["image,camera", *(f"{name},{name[-5]}" for name in names)]))
    first = json.loads(_annotations(root, "train").read_text())["images"][0]["file_name"]
    (root / "unlabelled.json").write_text(json.dumps({first: ["truck", "bus"]}))


def _annotations(root: Path, split: str) -> Path:
    return root / "PATH" / "annotations" / f"instances_{split}.json"


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, and the present one."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "data" / "VOCdevkit").mkdir(parents=True)
    (tmp_path / "data" / "coco").symlink_to(tmp_path / "PATH")
    for name in ("VOC0712", "VOC2012"):
        (tmp_path / "data" / "VOCdevkit" / name).symlink_to(tmp_path / "bccd")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(place: Path, tiny: list[str], small: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """What runs lines there; `detection.train` is as short as the command."""
    shell = Shell(
        {"train": [*tiny, "--train.skip_nonfinite=2"], "pretrain": [*small, "--net.width=8"]}, NOT_RUN, monkeypatch
    )
    train, small_settings = detection.train, dict(option.removeprefix("--").split("=", 1) for option in tiny)

    def briefly(*, epochs: int, settings: dict[str, object] | None = None, **others: object) -> detection.TrainedRun:
        assert epochs > 0
        return train(settings=small_settings | (settings or {}), **others)

    monkeypatch.setattr(detection, "train", briefly)
    yield shell
    shell.close()
