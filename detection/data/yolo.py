"""YOLO annotations in Ultralytics' layout: a data.yaml, and one text file of labels an image.

    data.yaml: path, train, val, test (each a folder, a text file of image paths, or a list of those), names
    images in .../images/..., their labels in .../labels/... with the same name and .txt; without an `images` folder in
    its path, an image has its labels beside it
    a line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 ...` for an outline; all in 0..1 of the image's sides

The format knows neither sizes nor ids: sizes come from the image headers, ids count from 1.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detection.atomic import write_atomically
from detection.data.columns import Report, brief
from detection.data.image import EXTENSIONS, image_size
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root, unshowable
from detection.documents import load_yaml
from detection.errors import InputError

SLACK = 0.01
"""How far outside 0..1 a coordinate may lie: more is no rounding but a file in pixels."""

Row = tuple[int, float, float, float, float]
"""class, x, y, width, height in 0..1 of the image, x and y of the top-left corner"""


def read_yolo(data_yaml: Path, split: str, report: Report | None = None) -> AnnotationIndex:
    """Read the images of `split` (a key of data.yaml) with their labels; no label file means no objects.

    Every image header is read, for its upright size. Raises InputError naming the file, and the line of a label file;
    with `report`, an image or a line that is wrong is told to it and left out.
    """
    data_yaml = Path(data_yaml)
    data = load_data_yaml(data_yaml)
    class_names = _class_names(data, data_yaml)
    paths, sizes = _measure(_list_images(data, split, data_yaml), report)
    rows = [_read_labels(_label_path(path), len(class_names), report) for path in paths]
    counts = [len(found) for found in rows]
    table = np.array([row for found in rows for row in found], dtype=np.float64).reshape(-1, 5)
    xywh = table[:, 1:] * np.repeat(sizes, counts, axis=0)[:, [1, 0, 1, 0]]
    root = _common_root(_root(data, data_yaml), paths)
    return AnnotationIndex(
        root=root,
        source=data_yaml,
        class_names=class_names,
        category_ids=np.arange(len(class_names), dtype=np.int64),
        image_ids=np.arange(1, len(paths) + 1, dtype=np.int64),
        file_names=np.array([path.relative_to(root).as_posix().encode() for path in paths], dtype=np.bytes_),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        xywh=xywh,
        labels=table[:, 0].astype(np.int64),
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(1, len(table) + 1, dtype=np.int64),
        crowd=np.zeros(len(table), dtype=bool),
        difficult=np.zeros(len(table), dtype=bool),
    )


def write_yolo(index: AnnotationIndex, folder: Path, split: str = "train") -> None:
    """Write FOLDER/labels/<split>/*.txt and add the split to FOLDER/data.yaml.

    Images belong in FOLDER/images/<split>, without the folders in their names. YOLO has no word for crowds, which are
    left out, nor for difficult objects, which become ordinary ones. Raises InputError where two images differ only by
    folder or extension, or where data.yaml is there already with other classes.
    """
    folder = Path(folder)
    data_yaml = folder / "data.yaml"
    names = dict(enumerate(index.class_names))
    data: dict[str, Any] = {"path": ".", "names": names}
    if data_yaml.is_file():
        data = load_data_yaml(data_yaml)
        if _class_names(data, data_yaml) != index.class_names:
            raise InputError(f"{data_yaml}: lists other classes than {index.source}; write to another folder")
    stems = index.stems()
    for i, stem in enumerate(stems):
        write_atomically(folder / "labels" / split / f"{stem}.txt", _label_lines(index, i).encode())
    data[split] = f"images/{split}"
    write_atomically(data_yaml, yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())


def load_data_yaml(path: Path) -> dict[str, Any]:
    """The file as a dict; InputError where it cannot be read or is no YAML mapping."""
    data = load_yaml(path, "a data.yaml")
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold keys such as train, val and names, not a {type(data).__name__}")
    return data


def _measure(paths: list[Path], report: Report | None) -> tuple[list[Path], np.ndarray]:
    """The images that can be opened, and their sizes (n, 2); without `report` they all must be."""

    def measured(path: Path) -> tuple[int, int] | InputError:
        try:
            if leaves_root(path.name) or unshowable(path.name):
                raise InputError(f"{path}: its name is not UTF-8 or has control characters; rename the file")
            return image_size(path)
        except InputError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        measures = list(pool.map(measured, paths))
    known, sizes = [], []
    for path, size in zip(paths, measures, strict=True):
        if not isinstance(size, InputError):
            known.append(path)
            sizes.append(size)
        elif report is None:
            raise size
        else:
            report(str(size))
    return known, np.array(sizes, dtype=np.int32).reshape(-1, 2)


def _class_names(data: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = data.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise InputError(f'{path}: the keys of "names" must be 0..{len(names) - 1}, got {brief(list(names))}')
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(f'{path}: "names" must list the class names, got {brief(names)}')
    if any(type(name) in (dict, list) or unshowable(str(name)) for name in names):
        raise InputError(f'{path}: "names" must be texts without control characters, got {brief(names)}')
    count = data.get("nc", len(names))
    if count != len(names):
        raise InputError(f'{path}: "nc" is {brief(count)} but "names" has {len(names)}; correct one')
    texts = tuple(str(name) for name in names)
    if len(set(texts)) < len(texts):
        twice = next(name for name in texts if texts.count(name) > 1)
        raise InputError(f"{path}: two classes are named {twice!r}; rename one")
    return texts


def _root(data: dict[str, Any], data_yaml: Path) -> Path:
    folder = data_yaml.resolve().parent
    root = folder / str(data.get("path") or ".")
    # A `path` that is not there usually names the place where Ultralytics would have downloaded the data to.
    return root.resolve() if os.path.isdir(root) else folder


def _list_images(data: dict[str, Any], split: str, data_yaml: Path) -> list[Path]:
    given = data.get(split)
    if not given:
        raise InputError(f"{data_yaml}: has no {split!r}; add the folder of its images")
    root = _root(data, data_yaml)
    paths: list[Path] = []
    for entry in map(str, given if isinstance(given, list) else [given]):
        place = root / entry
        if not os.path.exists(place) and entry.startswith("../"):
            place = root / entry[3:]  # as Roboflow writes it, relative to a folder that it does not export
        if place == Path(place.anchor):
            raise InputError(f"{data_yaml}: {split}: {place} is the whole disk; give the folder of the images")
        # os.path, since Path raises for names that no file system takes
        if os.path.isdir(place):
            paths += sorted(
                Path(folder, name)
                for folder, _, names in os.walk(place)
                for name in names
                if os.path.splitext(name)[1].lower() in EXTENSIONS
            )
        elif os.path.isfile(place) and place.suffix == ".txt":
            paths += _listed(place)
        else:
            raise InputError(f"{data_yaml}: {split}: {entry[:200]} is no folder and no .txt list; correct the path")
    return [Path(os.path.normpath(path)) for path in paths]


def _listed(listing: Path) -> list[Path]:
    """The images of a list, whose lines are absolute or relative to the list's own folder."""
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: cannot be read ({error}); it must hold one image path a line") from error
    return [listing.parent / line.strip() for line in lines if line.strip()]


def _common_root(root: Path, paths: list[Path]) -> Path:
    """`root`, or the folder that holds all images where some lie outside it."""
    if all(path.is_relative_to(root) for path in paths):
        return root
    return Path(os.path.commonpath([path.parent for path in paths]))


def _label_path(image: Path) -> Path:
    parts = list(image.parts)
    folders = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_labels(path: Path, classes: int, report: Report | None) -> list[Row]:
    rows = []
    try:
        for number, line in enumerate(_text_of(path).splitlines(), 1):
            try:
                rows += [_read_line(line.split(), f"{path}:{number}", classes)] if line.strip() else []
            except InputError as error:
                if report is None:
                    raise
                report(str(error))
    except InputError as error:
        if report is None:
            raise
        report(str(error))
    return rows


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); write it again") from error


def _read_line(fields: list[str], where: str, classes: int) -> Row:
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise InputError(f"{where}: {brief(' '.join(fields))} is not all numbers; write `class cx cy w h`") from None
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        raise InputError(f"{where}: {len(values)} numbers; write `class cx cy w h`, or a class and 3 or more points")
    label = values[0]
    if label not in range(classes):
        raise InputError(f"{where}: class {fields[0][:40]} is not one of the {classes} names (0..{classes - 1})")
    if not all(math.isfinite(value) and -SLACK <= value <= 1 + SLACK for value in values[1:]):
        raise InputError(f"{where}: coordinates must lie in 0..1 of the image's sides, got {' '.join(fields[1:9])}")
    if len(values) == 5:
        _, cx, cy, w, h = values
        return int(label), cx - w / 2, cy - h / 2, w, h
    xs, ys = values[1::2], values[2::2]
    return int(label), min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _label_lines(index: AnnotationIndex, i: int) -> str:
    height, width = index.sizes[i].tolist()
    lines = []
    for row in range(index.rows(i).start, index.rows(i).stop):
        if not index.crowd[row]:
            x, y, w, h = index.xywh[row].tolist()
            numbers = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(f"{index.labels[row]} " + " ".join(f"{value:.12g}" for value in numbers) + "\n")
    return "".join(lines)
