"""What annotation tools export, as the page of the tools names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import format_writers
import numpy as np
from PIL import Image
from trees import HEIGHT, TRUTH, WIDTH

FOLDERS = {
    "label_studio": format_writers.label_studio,
    "labelimg": format_writers.voc,
    "labelme": format_writers.labelme,
    "via": format_writers.via,
    "csv": format_writers.csv_of_retinanet,
    "createml": format_writers.createml,
    "huggingface": format_writers.huggingface,
    "datumaro": format_writers.datumaro,
    "supervisely": format_writers.supervisely,
    "cvat": format_writers.cvat,
    "cells.yolov8": format_writers.yolo,
}
ARCHIVES = {"supervisely": "tar", "cvat": "zip", "cells.yolov8": "zip"}


def write_exports(root: Path) -> None:
    """root/NAME for each of `FOLDERS`, twelve images each, or root/NAME.zip; and CVAT's file apart from its images."""
    data = {f"{stem}{k}": things for k in range(4) for stem, things in TRUTH.items()}
    random = np.random.default_rng(0)
    images = {stem: random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for stem in data}
    for name, write in FOLDERS.items():
        (root / name / "img").mkdir(parents=True)
        for stem, pixels in images.items():
            Image.fromarray(pixels).save(root / name / "img" / f"{stem}.png")
        write(root / name, data)
    shutil.copy(root / "cvat" / "annotations.xml", root)
    shutil.copytree(root / "cvat" / "img", root / "images")
    for name, kind in ARCHIVES.items():
        shutil.make_archive(str(root / name), kind, root / name)
        shutil.rmtree(root / name)
