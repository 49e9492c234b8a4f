"""From the path a user gives to a data source: which format lies there, and which splits it has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from detection.data.coco import read_coco
from detection.data.columns import Report
from detection.data.index import AnnotationIndex
from detection.data.voc import read_voc
from detection.data.yolo import load_data_yaml, read_yolo
from detection.errors import InputError

SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""words in file and folder names, and the split they mean"""

OTHER_TASKS = ("person_keypoints_", "captions_", "panoptic_", "stuff_", "image_info_")
"""COCO's files of other tasks, which lie in the folder of the instance annotations"""


@dataclass(frozen=True)
class Source:
    """A dataset on disk.

    splits: name -> where it is: the JSON file (coco), the list in ImageSets/Main or the folder of XML files (voc), the
    key of data.yaml (yolo). The usual splits are named train, val and test whatever the files call them.
    """

    format: str
    root: Path
    splits: dict[str, Path | str]
    images: Path | None = None
    """folder that COCO's file names start from; None: guessed"""

    def read(self, split: str, classes: tuple[str, ...] | None = None, report: Report | None = None) -> AnnotationIndex:
        """Read one split; with `classes`, those of the model or the training split, labels are in their order,
        whatever the order or the ids of the files.

        Raises InputError for an unknown split, for objects of other classes, and for whatever is wrong in the files;
        with `report`, single items that are wrong are told to it, a line each, and left out.
        """
        if split not in self.splits:
            raise InputError(f"{self.root}: has no split {split!r}; there is {', '.join(self.splits)}")
        index = READERS[self.format](self, split, classes, report)
        return index if classes is None else index.in_classes(tuple(classes))


def locate(path: Path, format: str = "auto", images: Path | None = None) -> Source:
    """Find the dataset at `path`, a folder or file.

    format: coco, voc, yolo, or auto to try each; images: the image folder of a COCO file, where it is not beside it.
    Raises InputError where nothing is recognised, saying what was looked for.
    """
    path = Path(path)
    if format != "auto" and format not in FINDERS:
        raise InputError(f"unknown data format {format!r}; it can be auto, {', '.join(FINDERS)}")
    if not os.path.exists(path):  # Path.exists raises for names that no file system takes
        raise InputError(f"{path}: there is no such file or folder; give the path of a dataset")
    if images is not None and not os.path.isdir(images):
        raise InputError(f"{images}: there is no such image folder; correct the path")
    for name in FINDERS if format == "auto" else (format,):
        splits = FINDERS[name](path)
        if splits:
            return Source(name, path, splits, None if images is None else Path(images))
    wanted = LOOKED_FOR.values() if format == "auto" else [LOOKED_FOR[format]]
    raise InputError(f"{path}: no dataset found; looked for {'; for '.join(wanted)}")


def _split_name(name: str) -> str | None:
    """train, val or test where a word of `name` says so: instances_train2017 -> train."""
    for word in reversed(re.findall(r"[a-z]+", name.lower())):
        if word in SPLIT_WORDS:
            return SPLIT_WORDS[word]
    return None


def _named(paths: list[Path], original: Callable[[Path], str]) -> dict[str, Path | str]:
    """Canonical split names; where two files claim one (train2014 and train2017), both keep their own name.

    A single file that names no split is called train.
    """
    if len(paths) == 1:
        return {_split_name(original(paths[0])) or "train": paths[0]}
    canonical = [_split_name(original(path)) for path in paths]
    names = [
        name if name is not None and canonical.count(name) == 1 else original(path)
        for name, path in zip(canonical, paths, strict=True)
    ]
    order = {"train": 0, "val": 1, "test": 2}
    pairs = sorted(zip(names, paths, strict=True), key=lambda pair: (order.get(pair[0], 3), pair[0]))
    return dict(pairs)


def _find_coco(path: Path) -> dict[str, Path | str]:
    if path.is_file():
        return _named([path], lambda file: file.stem) if path.suffix.lower() == ".json" else {}
    exported = sorted(path.glob("*/_annotations.coco.json"))
    if exported:
        return _named(exported, lambda file: file.parent.name)
    files = sorted((path / "annotations").glob("*.json")) or sorted(path.glob("*.json"))
    instances = [file for file in files if file.name.startswith("instances_")]
    files = instances or [file for file in files if not file.name.startswith(OTHER_TASKS)]
    return _named(files, lambda file: file.stem)


def _find_voc(path: Path) -> dict[str, Path | str]:
    if not path.is_dir():
        return {}
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    if any(folder.glob("*.xml")):
        listings = sorted((path / "ImageSets" / "Main").glob("*.txt"))
        # VOC lists every class once more: aeroplane_train.txt beside train.txt.
        stems = {file.stem for file in listings}
        whole = [file for file in listings if file.stem.rpartition("_")[2] not in stems - {file.stem}]
        return _named(whole, lambda file: file.stem) or {"train": path}
    exported = sorted(child for child in path.iterdir() if child.is_dir() and _split_name(child.name))
    return _named([child for child in exported if any(child.glob("*.xml"))], lambda child: child.name)


def _find_yolo(path: Path) -> dict[str, Path | str]:
    file = _yaml_file(path)
    if file is None:
        return {}
    keys = [key for key, value in load_data_yaml(file).items() if value and key in SPLIT_WORDS]
    return {SPLIT_WORDS[key]: key for key in keys}


def _yaml_file(path: Path) -> Path | None:
    """The file itself, or the folder's data.yaml, or its first YAML file that names classes."""
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml") else None
    if (path / "data.yaml").is_file():
        return path / "data.yaml"
    for file in (*sorted(path.glob("*.yaml")), *sorted(path.glob("*.yml"))):
        # A foreign file beside the data, such as a training config, is no reason to stop.
        with suppress(InputError):
            if "names" in load_data_yaml(file):
                return file
    return None


def _read_coco(source: Source, split: str, classes: tuple[str, ...] | None, report: Report | None) -> AnnotationIndex:
    return read_coco(Path(source.splits[split]), source.images, report)


def _read_voc(source: Source, split: str, classes: tuple[str, ...] | None, report: Report | None) -> AnnotationIndex:
    place = Path(source.splits[split])
    root, name = (place, split) if place.is_dir() else (source.root, place.stem)
    return read_voc(root, name, classes, report)


def _read_yolo(source: Source, split: str, classes: tuple[str, ...] | None, report: Report | None) -> AnnotationIndex:
    file = _yaml_file(source.root)
    assert file is not None, "a yolo source has a data.yaml"
    return read_yolo(file, str(source.splits[split]), report)


FINDERS: dict[str, Callable[[Path], dict[str, Path | str]]] = {
    "yolo": _find_yolo,
    "voc": _find_voc,
    "coco": _find_coco,
}
"""In this order, since any JSON file may be COCO."""
LOOKED_FOR = {
    "yolo": "YOLO (data.yaml with names and train)",
    "voc": "PASCAL VOC (Annotations/*.xml, *.xml or train/*.xml)",
    "coco": "COCO (a .json file, annotations/*.json, *.json or */_annotations.coco.json)",
}
READERS: dict[str, Callable[[Source, str, tuple[str, ...] | None, Report | None], AnnotationIndex]] = {
    "coco": _read_coco,
    "voc": _read_voc,
    "yolo": _read_yolo,
}
