"""Detections in COCO's result format: [{"image_id", "category_id", "bbox": [x, y, width, height], "score"}].

The file is the truth: numbers are rounded when a result is made, and JSON keeps what is left exactly, so that
evaluation in memory and evaluation of the file agree to the last bit.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection.data.coco import to_coco
from detection.data.coco_json import collection_paused
from detection.data.columns import FARTHEST, brief
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.records import Detections

DECIMALS = 3
"""of a pixel: a thousandth moves the IoU of a box of 10 pixels by less than 3e-4, and keeps the file small"""


def to_results(detections: list[Detections], index: AnnotationIndex, rows: list[int]) -> list[dict[str, Any]]:
    """Results of the images `rows` of `index`, in that order, best first within an image as given.

    Boxes are not clipped and keep three decimals; scores keep the shortest decimals that name the float32, so
    that no two scores become equal. Raises InputError where a label is outside the index's classes, or a number is
    not finite; ValueError unless there is one `Detections` a row.
    """
    if len(detections) != len(rows):
        raise ValueError(f"to_results: {len(detections)} detections for {len(rows)} rows; give one each")
    if not detections:
        return []
    boxes, scores, labels = (_joined(detections, name) for name in ("boxes", "scores", "labels"))
    owners = np.repeat(rows, [len(found.scores) for found in detections])
    _check_numbers(boxes, scores, labels, index, owners)
    corners = boxes.astype(np.float64)
    xywh = np.round(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), DECIMALS)
    columns = zip(
        index.image_ids[owners].tolist(),
        index.category_ids[labels].tolist(),
        xywh.tolist(),
        map(float, scores.astype(str).tolist()),
        strict=True,
    )
    with collection_paused():
        return [{"image_id": i, "category_id": c, "bbox": box, "score": score} for i, c, box, score in columns]


def _joined(detections: list[Detections], name: str) -> np.ndarray:
    joined = torch.cat([getattr(found, name).detach().cpu() for found in detections])
    return (joined.float() if joined.is_floating_point() else joined).numpy()


def _check_numbers(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, index: AnnotationIndex, owners: np.ndarray
) -> None:
    """owners: (D,) the row of the image of each detection, of which the first with a flaw is named."""
    foreign = (labels < 0) | (labels >= len(index.class_names))
    infinite = ~(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
    flawed = np.flatnonzero(foreign | infinite)
    if not len(flawed):
        return
    path = index.path(owners[flawed[0]])
    if foreign[flawed[0]]:
        raise InputError(
            f"{path}: a detection has label {labels[flawed[0]]}, but {index.source} has "
            f"{len(index.class_names)} classes; evaluate on the dataset the model was trained for"
        )
    raise InputError(f"{path}: a detection is not finite; the weights have diverged, use an earlier checkpoint")


def ground_truth(index: AnnotationIndex) -> dict[str, Any]:
    """The index as the COCO dict to evaluate against.

    A VOC `difficult` object becomes a crowd region, which COCO's evaluation neither asks for nor punishes. So does the
    whole of an image for each class that was not annotated there, last in the list.
    """
    truth = to_coco(replace(index, crowd=index.crowd | index.difficult))
    free = int(index.annotation_ids.max(initial=0)) + 1
    rows, labels = np.nonzero(index.unjudged) if index.unjudged is not None else ((), ())
    for number, (row, label) in enumerate(zip(rows, labels), start=free):
        height, width = index.sizes[row].tolist()
        # Larger than the image, since detections from elsewhere may reach out of it.
        around = [-width, -height, 3 * width, 3 * height]
        where = {"image_id": int(index.image_ids[row]), "category_id": int(index.category_ids[label])}
        truth["annotations"].append({"id": number, **where, "bbox": around, "area": 9 * width * height, "iscrowd": 1})
    return truth


def read_results(path: Path | str) -> list[dict[str, Any]]:
    """The results in a JSON file, checked item by item.

    Raises InputError, with the file and the number of the item (from 0), where the file is no JSON list of objects,
    or an item lacks a key, has an id that is no integer, a number that is not finite or a negative side.
    """
    path = Path(path)
    try:
        results = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of COCO results") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or lists without end in one another
        raise InputError(f"{path}: not JSON ({error}); write it again as a list of COCO results") from error
    if not isinstance(results, list):
        raise InputError(
            f"{path}: holds a JSON {type(results).__name__}; COCO results are a list of objects, one a detection"
        )
    for k, result in enumerate(results):
        fault = _fault(result)
        if fault:
            raise InputError(f"{path}: item {k}: {fault}")
    return results


def _fault(result: Any) -> str | None:
    """What is wrong with one result and how to fix it, or None."""
    if not isinstance(result, dict):
        return "is not an object; write {image_id, category_id, bbox, score}"
    if "detections" in result and "file" in result:
        return "is a record of `frcnn predict`, by file name; `frcnn evaluate --predictions` reads it"
    for key in ("image_id", "category_id", "bbox", "score"):
        if key not in result:
            return f"lacks {key!r}; write {{image_id, category_id, bbox, score}}"
    for key in ("image_id", "category_id"):
        if type(result[key]) is not int or abs(result[key]) >= 2**63:
            return f"{key} {brief(result[key])} is not a 64-bit integer; use the ids of the annotation file"
    if not _is_finite(result["score"]):
        return f"score {brief(result['score'])} is not a finite number; remove the item or detect again"
    box = result["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(value) for value in box):
        return f"bbox {brief(box)} is not four finite numbers; write x, y, width, height in pixels"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {brief(box)} has a negative side; write x, y, width, height in pixels"
    return None


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < FARTHEST


def write_results(path: Path | str, results: list[dict[str, Any]]) -> None:
    """One result a line; the file appears whole or not at all. Raises InputError where it cannot be written."""
    lines = ",\n".join(json.dumps(result, separators=(",", ":"), allow_nan=False) for result in results)
    write_atomically(path, f"[{lines}]\n".encode())
