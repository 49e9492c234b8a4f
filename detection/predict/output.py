"""What prediction leaves on disk: a JSON record an image, and pictures."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detection.data.slide import Slide
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.records import Detections

DECIMALS = 3
"""of a pixel, as in COCO results"""


def to_records(path: str, detections: Detections, class_names: Sequence[str]) -> dict[str, Any]:
    """One image as plain Python values.

    {"file": path, "size": [height, width], "detections": [{"box": [x1, y1, x2, y2], "score", "class", "label"}]},
    boxes in pixels of the image shown upright with three decimals, best first as given; `class` is the name, `label`
    its place in `class_names`. Raises ValueError where a label has no name.
    """
    boxes = np.round(detections.boxes.detach().cpu().numpy().astype(np.float64), DECIMALS).tolist()
    # the shortest decimals that name the float32: 0.9, not 0.8999999761581421
    scores = detections.scores.detach().cpu().float().numpy().astype(str).tolist()
    labels = detections.labels.detach().cpu().tolist()
    if labels and not 0 <= min(labels) <= max(labels) < len(class_names):
        raise ValueError(f"{path}: label {max(labels)} has no name among the {len(class_names)} classes")
    return {
        "file": path,
        "size": [int(side) for side in detections.size],
        "detections": [
            {"box": box, "score": float(score), "class": class_names[label], "label": label}
            for box, score, label in zip(boxes, scores, labels, strict=True)
        ],
    }


def write_json(path: Path | str, records: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Indented UTF-8 JSON; the file appears whole or not at all. Raises InputError where it cannot be written."""
    text = json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)
    # a file name that is not UTF-8 holds surrogates, whose backslash form is JSON too
    write_atomically(path, (text + "\n").encode("utf-8", "backslashreplace"))


def save_picture(path: Path | str, picture: np.ndarray) -> None:
    """An (H, W, 3) uint8 RGB picture, in the format that the file's extension names; JPEG at quality 92.

    The file appears whole or not at all. Raises InputError where the extension is unknown or the file cannot be
    written.
    """
    path = Path(path)
    formats = Image.registered_extensions()
    name = formats.get(path.suffix.lower())
    if name is None or name not in Image.SAVE:
        raise InputError(f"{path}: no picture format is called {path.suffix!r}; use .jpg or .png")
    write_atomically(path, encoded(picture, name))


def encoded(picture: np.ndarray, name: str = "JPEG") -> bytes:
    """The file of an (H, W, 3) uint8 RGB picture in a format by Pillow's name; JPEG at quality 92."""
    memory = io.BytesIO()
    options: dict[str, Any] = {"quality": 92, "subsampling": 0} if name == "JPEG" else {}
    Image.fromarray(picture).save(memory, format=name, **options)
    return memory.getvalue()


def save_crops(
    folder: Path, name: str, image: np.ndarray | Slide, detections: Detections, class_names: Sequence[str]
) -> None:
    """Each detection of an (H, W, 3) uint8 image as `folder/CLASS/NAME_k.jpg`, k its rank from 1."""
    height, width = image.shape[:2]
    for k, (box, label) in enumerate(zip(detections.boxes.tolist(), detections.labels.tolist()), start=1):
        x1, y1 = max(int(box[0]), 0), max(int(box[1]), 0)
        x2, y2 = min(math.ceil(box[2]), width), min(math.ceil(box[3]), height)
        if x2 > x1 and y2 > y1:
            place = folder / (re.sub(r"[^\w\- ]", "_", class_names[label]) or "_")
            place.mkdir(parents=True, exist_ok=True)
            save_picture(place / f"{name}_{k}.jpg", np.ascontiguousarray(image[y1:y2, x1:x2]))
