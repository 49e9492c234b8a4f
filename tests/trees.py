"""Small datasets for the tests of reading: three pictures with known boxes, written as different tools do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detection.data.index import AnnotationIndex
from detection.data.locate import locate

WIDTH, HEIGHT = 80, 60
TRUTH: dict[str, list[tuple[str, list[int]]]] = {
    "a": [("cat", [4, 6, 20, 30]), ("dog", [40, 10, 30, 20])],
    "b": [("dog", [1, 2, 33, 44])],
    "c": [("cat", [50, 31, 21, 17])],
}
"""stem -> (class, x y width height)"""
Read = dict[str, list[tuple[str, list[float]]]]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)


def pictures(folder: Path, stems: str = "abc") -> Path:
    for stem in stems:
        picture(folder / f"{stem}.png")
    return folder


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def corners(box: list[int]) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y + h]


def voc(stem: str, body: str = "", shift: int = 1) -> str:
    """An XML file of VOC; body: what stands before the objects."""
    text = f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size>{body}"
    for name, (x, y, w, h) in TRUTH[stem]:
        sides = zip(("xmin", "ymin", "xmax", "ymax"), (x + shift, y + shift, x + w, y + h))
        box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
        text += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
    return text + "</annotation>"


def yolo(stem: str, more: str = "") -> str:
    text = ""
    for name, (x, y, w, h) in TRUTH[stem]:
        shares = ((x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT)
        text += f"{['cat', 'dog'].index(name)} " + " ".join(f"{value:.9f}" for value in shares) + f"{more}\n"
    return text


def coco(stems: str = "abc", folder: str = "") -> dict[str, Any]:
    images = [
        {"id": k, "file_name": f"{folder}{s}.png", "width": WIDTH, "height": HEIGHT} for k, s in enumerate(stems, 1)
    ]
    pairs = [(k, thing) for k, stem in enumerate(stems, 1) for thing in TRUTH[stem]]
    annotations = [
        {"id": k, "image_id": image, "category_id": {"cat": 3, "dog": 7}[name], "bbox": box, "area": 1.5}
        for k, (image, (name, box)) in enumerate(pairs, 1)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
    }


def seen(index: AnnotationIndex) -> Read:
    """Stem -> objects in order, of images that are all there."""
    found = {}
    for i in range(len(index)):
        assert index.path(i).is_file(), index.path(i)
        names = [index.class_names[k] for k in index.labels[index.rows(i)]]
        found[index.path(i).stem] = list(zip(names, index.xywh[index.rows(i)].round(4).tolist()))
    return found


def read(path: Path, split: str = "train", format: str = "auto") -> tuple[Read, str]:
    """What is read of a split, and the notes in one text."""
    index = locate(path, format).read(split)
    return seen(index), "\n".join(index.notes)


def truth(stems: str = "abc") -> Read:
    return {stem: [(name, [float(v) for v in box]) for name, box in TRUTH[stem]] for stem in stems}
