"""Files of detections to evaluate: COCO's results, or the records that `frcnn predict` writes."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from detection.counted import counted
from detection.data.check import CORNERS, are_corners
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.results import read_results

HIGH = 0.3
"""Where no score is below this, detections of low score are missing that AP counts on."""


def read_predictions(path: Path, index: AnnotationIndex) -> tuple[list[dict[str, Any]], list[str]]:
    """Results in COCO's format for the images of `index`, and what a user should know of them.

    Records of `frcnn predict` name images by file and classes by name: they are matched by path, else by file name
    where one image alone has it. Raises `InputError` like `read_results`, and for a record of an image or class that is
    not in the dataset.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None  # for read_results to say what is wrong
    if not (isinstance(content, list) and content and isinstance(content[0], dict) and "detections" in content[0]):
        found = read_results(path)
        _refuse_corners(path, found, index)
        return found, []
    rows = _Rows(index)
    categories = dict(zip(index.class_names, index.category_ids.tolist()))
    results: list[dict[str, Any]] = []
    for k, record in enumerate(content):
        try:
            image = int(index.image_ids[rows.of(str(record["file"]))])
            results += [_result(image, categories, found) for found in record["detections"]]
        except (KeyError, TypeError, ValueError) as error:
            reason = error.args[0] if isinstance(error, KeyError) else error
            raise InputError(f"{path}: item {k}: {reason}") from error
    notes = [f"{path}: records of `frcnn predict` for {len(content)} of {counted(len(index), 'image')}"]
    least = min((result["score"] for result in results), default=0.0)
    if least >= HIGH:
        notes.append(f"no score is below {least:.2g}, and AP counts weaker ones too: predict with --score 0.05")
    return results, notes


def _refuse_corners(path: Path, results: list[dict[str, Any]], index: AnnotationIndex) -> None:
    row_of = {number: row for row, number in enumerate(index.image_ids.tolist())}
    known = [result for result in results if result["image_id"] in row_of]
    sizes = index.sizes[[row_of[result["image_id"]] for result in known]].reshape(-1, 2)
    boxes = np.array([result["bbox"] for result in known], dtype=np.float64).reshape(-1, 4)
    if are_corners(boxes, sizes):
        raise InputError(f"{path}: {CORNERS}; write x y width height, as COCO has it")


class _Rows:
    """Rows of images, by path or by name."""

    def __init__(self, index: AnnotationIndex) -> None:
        self.by_path: dict[Path, int] = {}
        self.by_name: dict[str, list[int]] = {}
        for row in range(len(index)):
            path = index.path(row)
            self.by_path[path.resolve()] = row
            self.by_name.setdefault(path.name, []).append(row)

    def of(self, file: str) -> int:
        """Raises ValueError where it is none of the images, or may be several."""
        row = self.by_path.get(Path(file).resolve())
        if row is not None:
            return row
        alike = self.by_name.get(PurePath(file).name, [])
        if len(alike) != 1:
            many = (
                f"may be any of {counted(len(alike), 'image')} that are called so"
                if alike
                else "is not an image of the split"
            )
            raise ValueError(f"{file} {many}; evaluate on the images that were detected in")
        return alike[0]


def _result(image: int, categories: dict[str, int], found: dict[str, Any]) -> dict[str, Any]:
    if found["class"] not in categories:
        raise ValueError(f"class {found['class']!r} is not in the dataset, which has {', '.join(categories)}")
    x1, y1, x2, y2 = (float(edge) for edge in found["box"])
    box = [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]
    return {"image_id": image, "category_id": categories[found["class"]], "bbox": box, "score": float(found["score"])}
