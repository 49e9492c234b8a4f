"""Where a detector is better and worse: AP on parts of the images, and what it finds of which kinds of objects."""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.results import ground_truth
from detection.geometry.arrays import iou

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}
"""COCO's ranges of an object's area in pixels."""

PARTS = 12
"""Folders, or values of a column, that are shown at most; more are no groups but names."""
CROWDED = 0.2
"""IoU with another object from which an object is crowded."""
LONG = 2.0
"""Ratio of the sides from which a box is long."""


def image_parts(
    index: AnnotationIndex, brightness: np.ndarray | None, columns: dict[str, list[str]] | None = None
) -> dict[str, np.ndarray]:
    """Name of a part -> (N,) bool of the images in it: by crowding, shape, brightness, folder and the user's columns.

    brightness: (N,) mean pixel of each image, 0..255; columns: name -> N values. Parts that hold all images or none are
    left out.
    """
    if len(index) < 2:
        return {}
    objects = np.diff(index.offsets)
    low, high = np.quantile(objects, [1 / 3, 2 / 3])
    parts = {
        f"at most {low:.0f} objects": objects <= low,
        "in between": (objects > low) & (objects <= high),
        f"more than {high:.0f} objects": objects > high,
        "wide images": index.sizes[:, 1] > index.sizes[:, 0],
        "tall images": index.sizes[:, 1] < index.sizes[:, 0],
    }
    if brightness is not None and np.ptp(brightness) >= 1:
        dark, bright = np.quantile(brightness, [1 / 3, 2 / 3])
        parts |= {
            f"darkest third (below {dark:.0f} of 255)": brightness < dark,
            f"brightest third (from {bright:.0f} on)": brightness >= bright,
        }
    folders = [name.decode(errors="replace").rpartition("/")[0] for name in index.file_names.tolist()]
    for column, values in {"folder": folders, **(columns or {})}.items():
        counts = Counter(values)
        if 1 < len(counts) <= PARTS:
            own = np.array(values, dtype=object)
            parts |= {f"{column} {value or '(none)'}": own == value for value in sorted(counts)}
    return {name: rows for name, rows in parts.items() if 0 < rows.sum() < len(index)}


def ap_on_parts(
    index: AnnotationIndex, results: list[dict[str, Any]], parts: dict[str, np.ndarray]
) -> dict[str, tuple[int, float]]:
    """Name -> (images, AP on these alone, -1 where they hold no object); hotcoco matches once for all parts."""
    if not parts:
        return {}
    from hotcoco import COCO, COCOeval

    truth = ground_truth(index)
    ids = np.array([image["id"] for image in truth["images"]])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        coco = COCO(truth)
        found = coco.load_res([dict(r) for r in results]) if results else COCO({**truth, "annotations": []})
        evaluator = COCOeval(coco, found, "bbox")
        evaluator.evaluate()
        by_part = evaluator.slice_by({name: ids[rows].tolist() for name, rows in parts.items()})
    return {name: (int(rows.sum()), float(by_part[name]["AP"])) for name, rows in parts.items()}


def object_kinds(index: AnnotationIndex) -> dict[str, np.ndarray]:
    """Kind -> (M,) bool, by annotation of the index: by size, shape, crowding and the image's border; empty kinds are
    left out."""
    width, height = np.maximum(index.xywh[:, 2], 1e-6), np.maximum(index.xywh[:, 3], 1e-6)
    image_of = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    sides = index.sizes[image_of]
    ends = index.xywh[:, :2] + index.xywh[:, 2:]
    at_border = (index.xywh[:, :2] <= 1).any(1) | (ends >= sides[:, ::-1] - 1).any(1)
    kinds = {f"{name} (COCO)": (index.areas >= low) & (index.areas < high) for name, (low, high) in SIZES.items()}
    kinds |= {
        f"tall, {LONG:g}:1 and more": height >= LONG * width,
        f"wide, {LONG:g}:1 and more": width >= LONG * height,
        f"overlapping another by an IoU of {CROWDED:g}": _crowded(index),
        "at the image's border": at_border,
    }
    return {name: rows for name, rows in kinds.items() if rows.any()}


def _crowded(index: AnnotationIndex) -> np.ndarray:
    found = np.zeros(len(index.labels), bool)
    for row in range(len(index)):
        boxes = index.boxes(row)
        if len(boxes) > 1:
            overlap = iou(boxes[:, None], boxes[None])
            np.fill_diagonal(overlap, 0)
            found[index.rows(row)] = overlap.max(1) >= CROWDED
    return found


def read_columns(file: Path, index: AnnotationIndex) -> dict[str, list[str]]:
    """Columns of a CSV table whose first column names the images, in the order of the index.

    Raises `InputError` for a file that is no such table, and for an image of the split that has no row.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            header, *rows = list(csv.reader(opened)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{file}: cannot be read as CSV ({error}); give a table with a column of image names"
        ) from None
    if len(header) < 2:
        raise InputError(f"{file}: needs a header with the image's name and at least one column; found {header}")
    given = {row[0]: row[1:] for row in rows if row}
    by_name = {Path(name).name: values for name, values in given.items()}
    columns: dict[str, list[str]] = {name: [] for name in header[1:]}
    for encoded in index.file_names.tolist():
        name = encoded.decode(errors="replace")
        values = given.get(name) or by_name.get(Path(name).name)
        if values is None or len(values) != len(columns):
            missing = "no row" if values is None else f"{len(values)} values, and the header {len(columns)}"
            raise InputError(f"{file}: {name} has {missing}; every image of the split needs a row")
        for column, value in zip(columns.values(), values):
            column.append(value)
    return columns
