"""COCO instance annotations: one JSON file with `images`, `annotations` and `categories`.

Boxes, areas, flags and ids come back from `to_coco` exactly as `read_coco` found them. Segmentations, captions and
every other field are not kept. Category ids may have gaps: class k is the category with the k-th smallest id.

Everything is checked by column, see `columns.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.coco_json import collection_paused, load_coco_json
from detection.data.coco_places import Places, guess_image_folder
from detection.data.coco_tolerance import as_pixels, drop_headings, plausible_areas, soften
from detection.data.columns import (
    FARTHEST,
    FlawedItems,
    Item,
    brief,
    column,
    floats,
    later_copies,
    reject,
    unique_ids,
)
from detection.data.flaws import Report
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root, unshowable
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.atomic import write_atomically


def read_coco(
    annotations: Path,
    images: Path | None = None,
    report: Report | None = None,
    others: Sequence[Path] = (),
    survey: Survey | None = None,
) -> AnnotationIndex:
    """Read the JSON file `annotations`; `images` is the folder its file names start from.

    Without `images` the usual places beside the file are tried (see `guess_image_folder`), then all folders around
    (`survey`, where they are listed already). others: files of the other splits, which show whether a category is a
    class. Pixels are not touched. Raises InputError where the file is missing, is not COCO, or an item of it is wrong;
    with `report`, an item that is wrong is told to it and left out, with the annotations that depend on it.
    """
    annotations = Path(annotations)
    tally = Tally()
    places = Places(annotations, images, survey)
    with collection_paused():
        data = load_coco_json(annotations)
        drop_headings(data, others, tally)
        softened = False
        while True:
            try:
                index = _to_index(data, annotations, images)
                break
            except FlawedItems as error:
                if not softened:
                    softened = True
                    soften(data, annotations, places, tally)
                    continue
                if report is None:
                    raise
                _leave_out(error, report)
    xywh, areas = as_pixels(index, tally)
    areas = plausible_areas(replace(index, xywh=xywh, areas=areas), tally)
    index = places.place(replace(index, xywh=xywh, areas=areas), tally)
    return replace(index, notes=tally.lines())


def _leave_out(error: FlawedItems, report: Report) -> None:
    for row in error.rows:
        report(error.complaints(row))
    flawed = set(error.rows)
    error.items[:] = [item for row, item in enumerate(error.items) if row not in flawed]


def _to_index(data: Item, annotations: Path, images: Path | None) -> AnnotationIndex:
    categories = _section(data, "categories", annotations)
    image_items = _section(data, "images", annotations)
    rows = _section(data, "annotations", annotations)
    class_names, category_ids = _read_categories(categories, annotations)
    image_ids, names, sizes = _read_images(image_items, annotations)
    columns, image_rows = _read_annotations(rows, image_ids, category_ids, annotations)
    # Stable, so that the annotations of an image keep the order of the file, which decides ties in evaluation.
    order = np.argsort(image_rows, kind="stable")
    counts = np.bincount(image_rows, minlength=len(image_ids))
    return AnnotationIndex(
        root=Path(images) if images is not None else guess_image_folder(annotations, names),
        source=annotations,
        class_names=class_names,
        category_ids=category_ids,
        image_ids=image_ids,
        file_names=np.array([name.encode() for name in names], dtype=np.bytes_),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        difficult=np.zeros(len(rows), dtype=bool),
        **{name: column[order] for name, column in columns.items()},
    )


def to_coco(index: AnnotationIndex) -> dict[str, Any]:
    """The index as a COCO dict of plain Python values, annotations grouped by image."""
    images = [
        {"id": int(index.image_ids[i]), "file_name": name.decode(), "height": int(height), "width": int(width)}
        for i, (name, (height, width)) in enumerate(zip(index.file_names, index.sizes, strict=True))
    ]
    image_of_row = np.repeat(index.image_ids, np.diff(index.offsets)).tolist()
    columns = zip(
        index.annotation_ids.tolist(),
        image_of_row,
        index.category_ids[index.labels].tolist(),
        index.xywh.tolist(),
        index.areas.tolist(),
        index.crowd.astype(int).tolist(),
        strict=True,
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return {
        "images": images,
        "annotations": [dict(zip(keys, row, strict=True)) for row in columns],
        "categories": [
            {"id": int(number), "name": name}
            for number, name in zip(index.category_ids, index.class_names, strict=True)
        ],
    }


def write_coco(index: AnnotationIndex, path: Path) -> None:
    """Write the index as a COCO JSON file. VOC's difficult flag has no place there and is lost."""
    write_atomically(path, json.dumps(to_coco(index)).encode())


def _section(data: Item, key: str, path: Path) -> list[Item]:
    if key not in data:
        raise InputError(f'{path}: has no "{key}"; COCO needs images, annotations and categories (a list may be empty)')
    section = data[key]
    if not isinstance(section, list):
        raise InputError(f'{path}: "{key}" is a {type(section).__name__}; it must be a list')
    if not set(map(type, section)) <= {dict}:
        wrong = [i for i, item in enumerate(section) if type(item) is not dict]

        def complaint(row: int) -> str:
            return f'{path}: "{key}" item {row} is a {type(section[row]).__name__}; it must be an object'

        raise FlawedItems(complaint(wrong[0]), section, wrong, complaint)
    return section


def _read_categories(items: list[Item], path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    ids = unique_ids(items, "category", path)
    names = column(items, "name", {str}, "a text", "category", path)
    if not names:
        raise InputError(f'{path}: "categories" is empty; it must list at least one class')
    if len(set(names)) < len(names):
        twice = names[later_copies(names)[0]]
        raise InputError(f"{path}: two categories are named {brief(twice)}; rename one, or delete it if it is not used")
    hidden = np.array([unshowable(name) for name in names], dtype=bool)
    message = "its name is blank or has control characters; rename it"
    reject(items, hidden, "category", path, lambda item: f"{message}: {brief(item['name'])}")
    order = np.argsort(ids)
    return tuple(names[i] for i in order), ids[order]


def _read_images(items: list[Item], path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    ids = unique_ids(items, "image", path)
    names = column(items, "file_name", {str}, "a text", "image", path)
    unsafe = np.fromiter((leaves_root(name) for name in names), dtype=bool, count=len(names))
    message = '"file_name" must be a path inside the image folder, not absolute and without ".."'
    reject(items, unsafe, "image", path, lambda item: message)
    hidden = np.fromiter((unshowable(name) for name in names), dtype=bool, count=len(names))
    reject(items, hidden, "image", path, lambda item: '"file_name" has control characters; rename the file')
    sizes = np.empty((len(items), 2), dtype=np.int32)
    for side, key in enumerate(("height", "width")):
        kind = "a whole number of pixels"
        values = floats(column(items, key, {int, float}, kind, "image", path))
        wrong = ~((values >= 1) & (values < 2**31) & (values == np.floor(values)))

        def complaint(item: Item, key: str = key) -> str:
            return f'"{key}" is {brief(item[key])}; it must be 1 or more'

        reject(items, wrong, "image", path, complaint)
        sizes[:, side] = values
    return ids, names, sizes


def _read_annotations(
    items: list[Item], image_ids: np.ndarray, category_ids: np.ndarray, path: Path
) -> tuple[dict[str, Any], np.ndarray]:
    """The columns of an index in file order, and (M,) the image row of each annotation."""
    what = "annotation"
    annotation_ids = unique_ids(items, what, path)
    image_rows = _rows_of(items, "image_id", image_ids, "images", path)
    labels = _rows_of(items, "category_id", category_ids, "categories", path)
    xywh = _boxes(items, path)
    areas = xywh[:, 2] * xywh[:, 3]
    if any("area" in item for item in items):
        given = column(items, "area", {int, float, type(None)}, "a number", what, path)
        values = floats(given)
        absent = np.fromiter((value is None for value in given), dtype=bool, count=len(given))
        wrong = ~absent & ~(np.abs(values) < FARTHEST**2)
        rule = "it must be a finite number of square pixels"
        reject(items, wrong, what, path, lambda item: f'"area" is {brief(item["area"])}; {rule}')
        areas = np.where(absent, areas, values)
    crowd = [item.get("iscrowd", 0) for item in items]
    if not set(map(type, crowd)) <= {int, bool} or not set(crowd) <= {0, 1}:
        wrong = np.array([type(value) not in (int, bool) or value not in (0, 1) for value in crowd], dtype=bool)
        reject(items, wrong, what, path, lambda item: f'"iscrowd" is {brief(item["iscrowd"])}; it must be 0 or 1')
    columns = {"xywh": xywh, "labels": labels, "areas": areas, "annotation_ids": annotation_ids}
    return columns | {"crowd": np.array(crowd, dtype=bool)}, image_rows


def _rows_of(items: list[Item], key: str, known: np.ndarray, section: str, path: Path) -> np.ndarray:
    """(M,) int64: where in `known` each item's `key` stands; InputError for an id that is not there."""
    row_of = {number: row for row, number in enumerate(known.tolist())}
    ids = column(items, key, {int}, "a whole number", "annotation", path)
    rows = np.fromiter((row_of.get(number, -1) for number in ids), dtype=np.int64, count=len(ids))
    reject(
        items,
        rows < 0,
        "annotation",
        path,
        lambda item: f'"{key}" is {brief(item[key])}, which "{section}" does not list',
    )
    return rows


def _boxes(items: list[Item], path: Path) -> np.ndarray:
    """(M, 4) float64 x, y, width, height as written."""
    rule = "it must be [x, y, width, height] in finite pixels"
    boxes = column(items, "bbox", {list}, "[x, y, width, height]", "annotation", path)
    wrong_length = np.fromiter((len(box) != 4 for box in boxes), dtype=bool, count=len(boxes))
    reject(items, wrong_length, "annotation", path, lambda item: f'"bbox" is {brief(item["bbox"])}; {rule}')
    if not set(map(type, chain.from_iterable(boxes))) <= {int, float}:
        wrong = np.array([not set(map(type, box)) <= {int, float} for box in boxes], dtype=bool)
        reject(items, wrong, "annotation", path, lambda item: f'"bbox" is {brief(item["bbox"])}; {rule}')
    values = floats(list(chain.from_iterable(boxes))).reshape(-1, 4)
    infinite = np.any(~(np.abs(values) < FARTHEST), axis=1)
    reject(items, infinite, "annotation", path, lambda item: f'"bbox" is {brief(item["bbox"])}; {rule}')
    return values
