"""A dataset with every flaw that the doctor knows, planted by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


class Planted:
    """COCO data of three splits of 12 pictures with two good boxes each, to plant flaws in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content: dict[str, dict[str, Any]] = {}
        random = np.random.default_rng(0)
        for split in ("train", "val", "test"):
            (folder / split).mkdir(parents=True)
            images, rows = [], []
            for i in range(1, 13):
                pixels = np.kron(random.integers(0, 256, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / f"{i}.jpg")
                images.append({"id": i, "file_name": f"{i}.jpg", "height": 120, "width": 160})
                rows += [self.row(2 * i - 1, i, [10, 10, 50, 40], 1), self.row(2 * i, i, [80, 40, 60, 60], 2)]
            categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
            self.content[split] = {"images": images, "annotations": rows, "categories": categories}

    @staticmethod
    def row(number: int, image: int, box: list[float], category: int) -> dict[str, Any]:
        return {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}

    def add(self, image: int, box: list[float], category: int = 1, split: str = "train") -> int:
        rows = self.content[split]["annotations"]
        rows.append(self.row(len(rows) + 1, image, box, category))
        return len(rows)

    def copy(self, source: str, target: str) -> None:
        shutil.copyfile(self.folder / source, self.folder / target)

    def write(self) -> Path:
        (self.folder / "annotations").mkdir(exist_ok=True)
        for split, content in self.content.items():
            (self.folder / f"annotations/instances_{split}.json").write_text(json.dumps(content))
        return self.folder


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "data")


def plant_everything(planted: Planted) -> None:
    """One item for nearly every rule."""
    content = planted.content
    planted.add(1, [5, 5, 0, 20])  # empty
    planted.add(1, [120, 20, 60, 20])  # sticks out
    planted.add(2, [300, 20, 60, 20])  # wholly outside
    planted.add(2, [10.5, 10, 50, 40])  # twice
    planted.add(3, [10, 10, 50, 41], 2)  # two classes on one object
    planted.add(4, [0, 0, 160, 120])  # the whole image
    planted.add(4, [100, 10, 1.2, 3])  # tiny
    planted.add(5, [10, 60, 40, 30], 77)  # no such category
    for split in content.values():
        split["categories"] += [{"id": 3, "name": "Dog "}, {"id": 4, "name": "bird"}, {"id": 5, "name": "fish"}]
    planted.add(5, [70, 5, 30, 25], 3)  # another spelling
    planted.add(1, [20, 60, 40, 30], 4, "val")  # not in the training split
    (planted.folder / "train/6.jpg").unlink()
    (planted.folder / "train/7.jpg").write_text("no picture")
    content["train"]["images"][7]["width"] = 150
    planted.copy("val/1.jpg", "train/9.jpg")  # the same annotations
    planted.copy("train/10.jpg", "train/11.jpg")
    planted.add(11, [20, 60, 30, 30], 1)  # differs from its copy
    planted.copy("test/2.jpg", "test/3.jpg")
    with Image.open(planted.folder / "test/5.jpg") as picture:
        picture.resize((240, 180)).resize((160, 120)).save(planted.folder / "train/12.jpg", quality=60)
    content["val"]["annotations"] = [row for row in content["val"]["annotations"] if row["image_id"] != 8]


@pytest.fixture
def flawed(planted: Planted) -> Path:
    plant_everything(planted)
    return planted.write()
