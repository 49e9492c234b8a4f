"""YOLO annotations in Ultralytics' layout: a data.yaml, and one text file of labels an image.

    data.yaml: path, train, val, test (each a folder, a text file of image paths, or a list of those), names
    images in .../images/..., their labels in .../labels/... with the same name and .txt; without an `images` folder in
    its path, an image has its labels beside it
    a line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 ...` for an outline; all in 0..1 of the image's sides
    (see yolo_rows.py for others)

The format knows neither sizes nor ids: sizes come from the image headers, ids count from 1.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detection.data.columns import brief
from detection.data.flaws import Report, report_or_raise
from detection.data.image import EXTENSIONS, image_size
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root, unshowable
from detection.data.survey import plain
from detection.data.tally import Tally
from detection.data.yolo_rows import read_all
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.files.chunks import in_threads
from detection.files.documents import load_text, load_yaml
from detection.progress import track

IMAGE_FOLDERS = ("images", "image", "jpegimages", "imgs", "img")
"""beside which labels lie in `labels`, as darknet has it too"""
MOST_CLASSES = 100_000
"""that an `nc` without names may stand for"""


def read_yolo(data_yaml: Path, split: str, report: Report | None = None) -> AnnotationIndex:
    """Read the images of `split` (a key of data.yaml) with their labels; no label file means no objects.

    Every image header is read, for its upright size. Raises InputError naming the file, and the line of a label file;
    with `report`, an image or a line that is wrong is told to it and left out.
    """
    data_yaml = Path(data_yaml)
    data = load_data_yaml(data_yaml)
    class_names = named_classes(data, data_yaml)
    paths = _list_images(data, split, data_yaml)
    folders: dict[str, str] = {}
    labels: list[str | None] = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = str(_label_folder(Path(folder)))
        labels.append(f"{folders[folder]}{os.sep}{os.path.splitext(name)[0]}.txt")
    root = _common_root(_root(data, data_yaml), paths)
    return index_of(paths, labels, class_names, root, data_yaml, report, _pose(data, data_yaml))


def index_of(
    paths: list[str],
    labels: list[str | None],
    class_names: tuple[str, ...],
    root: Path,
    source: Path,
    report: Report | None,
    pose: int = 0,
) -> AnnotationIndex:
    """The index of images, below `root`, with a label file each; None, or one that is not there, is an image without
    objects. Paths are texts, since a hundred thousand `Path`s take seconds."""
    tally = Tally()
    known, sizes = _measure(paths, report)
    counts, table = read_all([labels[row] for row in known], len(class_names), pose, report, tally)
    start = len(os.path.join(root, ""))
    xywh = table[:, 1:] * np.repeat(sizes, counts, axis=0)[:, [1, 0, 1, 0]]
    return AnnotationIndex(
        root=root,
        source=source,
        class_names=class_names,
        category_ids=np.arange(len(class_names), dtype=np.int64),
        image_ids=np.arange(1, len(known) + 1, dtype=np.int64),
        file_names=np.array([paths[row][start:].replace(os.sep, "/").encode() for row in known], dtype=np.bytes_),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        xywh=xywh,
        labels=table[:, 0].astype(np.int64),
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(1, len(table) + 1, dtype=np.int64),
        crowd=np.zeros(len(table), dtype=bool),
        difficult=np.zeros(len(table), dtype=bool),
        notes=tally.lines(),
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
        if named_classes(data, data_yaml) != index.class_names:
            raise InputError(f"{data_yaml}: lists other classes than {index.source}; write to another folder")
    stems = index.stems()
    for i, stem in enumerate(stems):
        write_atomically(folder / "labels" / split / f"{stem}.txt", _label_lines(index, i).encode())
    data[split] = f"images/{split}"
    write_atomically(data_yaml, yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())


def load_data_yaml(path: Path) -> dict[str, Any]:
    """The file as a dict, class names as they are written; InputError where it cannot be read or is no YAML mapping."""
    data = load_yaml(path, "a data.yaml", texts=True)
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold keys such as train, val and names, not a {type(data).__name__}")
    for key, value in data.items():
        if key != "names" and isinstance(value, str):
            data[key] = None if value.lower() in ("", "~", "null") else int(value) if value.isdecimal() else value
    if isinstance(data.get("names"), dict):
        data["names"] = {int(k) if str(k).isdecimal() else k: name for k, name in data["names"].items()}
    return data


def _pose(data: dict[str, Any], path: Path) -> int:
    """How many numbers of a pose follow a box, by kpt_shape: [points, numbers each]; 0 without."""
    shape = data.get("kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(str(side).isdecimal() for side in shape):
        raise InputError(f"{path}: kpt_shape is {brief(shape)}; it must be [points, 2 or 3]")
    return int(shape[0]) * int(shape[1])


def _measure(paths: list[str], report: Report | None) -> tuple[list[int], np.ndarray]:
    """The rows of the images that can be opened, and their sizes (n, 2); without `report` they all must be."""

    def measured(path: str) -> tuple[int, int] | InputError:
        try:
            name = os.path.basename(path)
            if leaves_root(name) or unshowable(name):
                raise InputError(f"{path}: its name is not UTF-8 or has control characters; rename the file")
            return image_size(Path(path))
        except InputError as error:
            return error

    known, sizes = [], []
    for row, size in enumerate(track(in_threads(measured, paths), "reading image headers", len(paths))):
        if isinstance(size, InputError):
            report_or_raise(size, report)
        else:
            known.append(row)
            sizes.append(size)
    return known, np.array(sizes, dtype=np.int32).reshape(-1, 2)


def named_classes(data: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The classes of a data.yaml, by number where only nc is given. Raises InputError naming the file `path`."""
    names, count = data.get("names"), data.get("nc")
    if not names and type(count) is int and 0 < count <= MOST_CLASSES:
        names = [str(k) for k in range(count)]
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise InputError(f'{path}: the keys of "names" must be 0..{len(names) - 1}, got {brief(list(names))}')
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(f'{path}: "names" must list the class names, got {brief(names)}')
    if any(type(name) in (dict, list) or unshowable(str(name)) for name in names):
        raise InputError(f'{path}: "names" must be texts without control characters, got {brief(names)}')
    if count is not None and count != len(names):
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


def _list_images(data: dict[str, Any], split: str, data_yaml: Path) -> list[str]:
    given = data.get(split)
    if not given:
        raise InputError(f"{data_yaml}: has no {split!r}; add the folder of its images")
    root = _root(data, data_yaml)
    paths: list[str] = []
    for entry in map(str, given if isinstance(given, list) else [given]):
        place = _there(root, entry)
        if place == Path(place.anchor):
            raise InputError(f"{data_yaml}: {split}: {place} is the whole disk; give the folder of the images")
        # os.path, since Path raises for names that no file system takes
        if os.path.isdir(place):
            inside = (
                os.path.join(folder, name)
                for folder, _, names in os.walk(place)
                for name in names
                if os.path.splitext(name)[1].lower() in EXTENSIONS
            )
            paths += sorted(inside, key=lambda path: path.split(os.sep))
        elif os.path.isfile(place) and place.suffix == ".txt":
            paths += map(str, _listed(place))
        else:
            raise InputError(
                f"{data_yaml}: {split}: {entry[:200]} is neither a folder nor a .txt list; correct the path"
            )
    return [os.path.normpath(path) for path in paths]


def _listed(listing: Path) -> list[Path]:
    """The images of a list, whose lines are absolute or relative to the list's own folder."""
    lines = load_text(listing, "one image path a line").splitlines()
    return [_there(listing.parent, line.strip()) for line in lines if line.strip()]


def _there(folder: Path, entry: str) -> Path:
    """What `entry` names: relative to `folder`, or where nothing is there, by the longest end of it that there is. A
    path of another machine or system has folders before it that are not here, and so has Roboflow's ../train/images."""
    place = folder / entry
    parts = () if os.path.exists(place) else plain(entry).split("/")
    return next((end for k in range(len(parts)) if os.path.exists(end := Path(folder, *parts[k:]))), place)


def _common_root(root: Path, paths: list[str]) -> Path:
    """`root`, or the folder that holds all images where some lie outside it."""
    inside = os.path.join(root, "")
    if all(path.startswith(inside) for path in paths):
        return root
    return Path(os.path.commonpath({os.path.dirname(path) for path in paths}))


def _label_folder(images: Path) -> Path:
    """Where the labels of the images in a folder lie: in .../labels/... for .../images/..., in whatever case; beside
    the images where there is no such folder."""
    parts = list(images.parts)
    places = [i for i, part in enumerate(parts) if part.lower() in IMAGE_FOLDERS]
    if not places:
        return images
    parts[places[-1]] = "labels"
    usual = Path(*parts)
    if usual.is_dir():
        return usual
    above = Path(*parts[: places[-1]])
    for name in sorted(os.listdir(above)) if above.is_dir() else ():
        other = Path(above, name, *parts[places[-1] + 1 :])
        if name.lower() in ("labels", "label") and other.is_dir():
            return other
    return images if any(images.glob("*.txt")) else usual


def _label_lines(index: AnnotationIndex, i: int) -> str:
    height, width = index.sizes[i].tolist()
    lines = []
    for row in range(index.rows(i).start, index.rows(i).stop):
        if not index.crowd[row]:
            x, y, w, h = index.xywh[row].tolist()
            numbers = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(f"{index.labels[row]} " + " ".join(f"{value:.12g}" for value in numbers) + "\n")
    return "".join(lines)
