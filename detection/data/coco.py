"""COCO instance annotations: one JSON file with `images`, `annotations` and `categories`.

Boxes, areas, flags and ids come back from `to_coco` exactly as `read_coco` found them. Segmentations, captions and
every other field are not kept. Category ids may have gaps: class k is the category with the k-th smallest id.

Everything is checked by column, and a single item is looked at only once a column is known to be wrong: 860,000
annotations are too many to visit in Python one rule at a time.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypedDict

import numpy as np

from detection.atomic import write_atomically
from detection.data.index import AnnotationIndex
from detection.errors import InputError

Item = dict[str, Any]


def read_coco(annotations: Path, images: Path | None = None) -> AnnotationIndex:
    """Read the JSON file `annotations`; `images` is the folder its file names start from.

    Without `images` the usual places beside the file are tried (see `guess_image_folder`). Pixels are not touched.
    Raises InputError where the file is missing, is not COCO, or an item of it is wrong.
    """
    annotations = Path(annotations)
    with collection_paused():
        data = _load(annotations)
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


def guess_image_folder(annotations: Path, names: Sequence[str]) -> Path:
    """The folder near the JSON file that holds most of the first images.

    For ROOT/annotations/instances_train2017.json: ROOT/train2017, ROOT/images/train2017, ROOT/images, and the same
    around the file's own folder. Where none holds any, the first that exists, since evaluation needs no pixels.
    """
    folder = annotations.resolve().parent
    split = annotations.stem.split("_", 1)[-1] or annotations.stem
    candidates = [
        base / name
        for base in (folder.parent, folder.parent / "images", folder, folder / "images")
        for name in (split, annotations.stem)
    ]
    candidates += [folder.parent / "images", folder, folder / "images", folder.parent]
    existing = [candidate for candidate in candidates if candidate.is_dir()]
    # Several names, so that one missing image does not hide the folder of all the others.
    probe = names[:10]
    return max(existing, key=lambda candidate: sum(os.path.isfile(candidate / name) for name in probe))


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep the garbage collector from walking millions of live JSON objects again and again: it doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(path: Path) -> Item:
    try:
        data = _parse(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a COCO JSON file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); write it again, it may be cut off") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: holds a JSON {type(data).__name__}, not an object with images, annotations and categories;"
            " a list is usually a file of results"
        )
    return data


def _parse(text: bytes) -> Any:
    """What `json.loads` gives, but only the fields that are read here, where the file is as it should be.

    Ten times as fast where there are segmentations, since no Python object is made for a number of them.
    """
    import msgspec  # late, as whoever reads no COCO file needs none

    try:
        if not text.isascii():
            text.decode()  # msgspec looks at no letter of what it leaves out
        return msgspec.json.decode(text, type=_File)
    except (ValueError, RecursionError):  # NaN and the like, which json takes, or a flaw, of which json says more
        return json.loads(text)


class _ImageFields(TypedDict, total=False):
    id: Any
    file_name: Any
    height: Any
    width: Any


class _AnnotationFields(TypedDict, total=False):
    id: Any
    image_id: Any
    category_id: Any
    bbox: Any
    area: Any
    iscrowd: Any


class _CategoryFields(TypedDict, total=False):
    id: Any
    name: Any


class _File(TypedDict, total=False):
    images: list[_ImageFields]
    annotations: list[_AnnotationFields]
    categories: list[_CategoryFields]


def _section(data: Item, key: str, path: Path) -> list[Item]:
    if key not in data:
        raise InputError(f'{path}: has no "{key}"; COCO needs images, annotations and categories (a list may be empty)')
    section = data[key]
    if not isinstance(section, list):
        raise InputError(f'{path}: "{key}" is a {type(section).__name__}; it must be a list')
    if not set(map(type, section)) <= {dict}:
        row = next(i for i, item in enumerate(section) if type(item) is not dict)
        raise InputError(f'{path}: "{key}" item {row} is a {type(section[row]).__name__}; it must be an object')
    return section


def _column(items: list[Item], key: str, kinds: set[type], kind: str, what: str, path: Path) -> list[Any]:
    """The values of `key`, each of one of the types `kinds` (bool is not an int here); else InputError names the item.

    kind: the types in words; what: the item in words.
    """
    values = [item.get(key) for item in items]
    if not set(map(type, values)) <= kinds:
        row = next(i for i, value in enumerate(values) if type(value) not in kinds)
        given = f'"{key}" is {values[row]!r}' if key in items[row] else f'"{key}" is missing'
        raise InputError(f"{path}: {_name(what, items[row], row)}: {given}; it must be {kind}")
    return values


def _name(what: str, item: Item, row: int) -> str:
    """An item as a person would look for it."""
    name = f"{what} {item['id']!r}" if "id" in item else f"{what} number {row} (counted from 0)"
    return f"{name} ({item['file_name']})" if isinstance(item.get("file_name"), str) else name


def _ids(items: list[Item], what: str, path: Path) -> np.ndarray:
    """(n,) int64, no two alike."""
    ids = _column(items, "id", {int}, "a whole number", what, path)
    if len(set(ids)) < len(ids):
        seen: set[int] = set()
        twice = next(number for number in ids if number in seen or seen.add(number))  # type: ignore[func-returns-value]
        raise InputError(f"{path}: {what} {twice} is there twice; ids must be unique, renumber one")
    try:
        return np.array(ids, dtype=np.int64)
    except OverflowError:
        raise InputError(f"{path}: an id of {what} does not fit 64 bits; renumber it") from None


def _reject(items: list[Item], wrong: np.ndarray, what: str, path: Path, complaint: Callable[[Item], str]) -> None:
    """Raise InputError with `complaint` about the first item where `wrong` (n,) bool is true; pass where none is."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        more = f" (and {len(rows) - 1} more like it)" if len(rows) > 1 else ""
        item = items[rows[0]]
        raise InputError(f"{path}: {_name(what, item, int(rows[0]))}: {complaint(item)}{more}")


def _read_categories(items: list[Item], path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    ids = _ids(items, "category", path)
    names = _column(items, "name", {str}, "a text", "category", path)
    if not names:
        raise InputError(f'{path}: "categories" is empty; it must list at least one class')
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two categories are named {twice!r}; rename one, or delete it if it is not used")
    order = np.argsort(ids)
    return tuple(names[i] for i in order), ids[order]


def _read_images(items: list[Item], path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    ids = _ids(items, "image", path)
    names = _column(items, "file_name", {str}, "a text", "image", path)
    unsafe = np.fromiter((leaves_root(name) for name in names), dtype=bool, count=len(names))
    message = '"file_name" must be a path inside the image folder, not absolute and without ".."'
    _reject(items, unsafe, "image", path, lambda item: message)
    sizes = np.empty((len(items), 2), dtype=np.int32)
    for column, key in enumerate(("height", "width")):
        kind = "a whole number of pixels"
        values = np.array(_column(items, key, {int, float}, kind, "image", path), dtype=np.float64)
        wrong = ~((values >= 1) & (values < 2**31) & (values == np.floor(values)))
        _reject(items, wrong, "image", path, lambda item, key=key: f'"{key}" is {item[key]}; it must be 1 or more')  # type: ignore[misc]
        sizes[:, column] = values
    return ids, names, sizes


def leaves_root(name: str) -> bool:
    """Whether a file name is no path inside a folder: empty, absolute (on any system), or climbing with '..'."""
    if not name or "\0" in name or not _encodes(name) or name.startswith(("/", "\\")):
        return True
    if ".." not in name and ":" not in name:
        return False
    windows = PureWindowsPath(name)
    return bool(windows.drive) or ".." in windows.parts or ".." in PurePosixPath(name).parts


def _encodes(name: str) -> bool:
    """JSON can spell half characters (lone surrogates), which no file name has."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_annotations(
    items: list[Item], image_ids: np.ndarray, category_ids: np.ndarray, path: Path
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The columns of an index in file order, and (M,) the image row of each annotation."""
    what = "annotation"
    annotation_ids = _ids(items, what, path)
    image_rows = _rows_of(items, "image_id", image_ids, "images", path)
    labels = _rows_of(items, "category_id", category_ids, "categories", path)
    xywh = _boxes(items, path)
    areas = xywh[:, 2] * xywh[:, 3]
    if any("area" in item for item in items):
        given = _column(items, "area", {int, float, type(None)}, "a number", what, path)
        values = np.array(given, dtype=np.float64)
        absent = np.fromiter((value is None for value in given), dtype=bool, count=len(given))
        wrong = ~absent & ~np.isfinite(values)
        _reject(items, wrong, what, path, lambda item: f'"area" is {item["area"]}; it must be a finite number')
        areas = np.where(absent, areas, values)
    crowd = [item.get("iscrowd", 0) for item in items]
    if not set(map(type, crowd)) <= {int, bool} or not set(crowd) <= {0, 1}:
        wrong = np.array([type(value) not in (int, bool) or value not in (0, 1) for value in crowd], dtype=bool)
        _reject(items, wrong, what, path, lambda item: f'"iscrowd" is {item["iscrowd"]!r}; it must be 0 or 1')
    columns = {"xywh": xywh, "labels": labels, "areas": areas, "annotation_ids": annotation_ids}
    return columns | {"crowd": np.array(crowd, dtype=bool)}, image_rows


def _rows_of(items: list[Item], key: str, known: np.ndarray, section: str, path: Path) -> np.ndarray:
    """(M,) int64: where in `known` each item's `key` stands; InputError for an id that is not there."""
    row_of = {number: row for row, number in enumerate(known.tolist())}
    ids = _column(items, key, {int}, "a whole number", "annotation", path)
    rows = np.fromiter((row_of.get(number, -1) for number in ids), dtype=np.int64, count=len(ids))
    _reject(
        items, rows < 0, "annotation", path, lambda item: f'"{key}" is {item[key]}, which "{section}" does not list'
    )
    return rows


def _boxes(items: list[Item], path: Path) -> np.ndarray:
    """(M, 4) float64 x, y, width, height as written."""
    rule = "it must be [x, y, width, height] in finite pixels"
    boxes = _column(items, "bbox", {list}, "[x, y, width, height]", "annotation", path)
    wrong_length = np.fromiter((len(box) != 4 for box in boxes), dtype=bool, count=len(boxes))
    _reject(items, wrong_length, "annotation", path, lambda item: f'"bbox" is {item["bbox"]}; {rule}')
    if not set(map(type, chain.from_iterable(boxes))) <= {int, float}:
        wrong = np.array([not set(map(type, box)) <= {int, float} for box in boxes], dtype=bool)
        _reject(items, wrong, "annotation", path, lambda item: f'"bbox" is {item["bbox"]}; {rule}')
    values = np.fromiter(chain.from_iterable(boxes), dtype=np.float64, count=4 * len(boxes)).reshape(-1, 4)
    infinite = np.any(~np.isfinite(values), axis=1)
    _reject(items, infinite, "annotation", path, lambda item: f'"bbox" is {item["bbox"]}; {rule}')
    return values
