"""From the path a user gives to a data source: which format lies there, and which splits it has.

The usual layouts are found by their names, without listing the folders; in any other, the files are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from detection.data.coco import read_coco
from detection.data.download import unpacked, unpacked_shards
from detection.data.flaws import Report
from detection.data.formats.json_files import json_kind
from detection.data.index import AnnotationIndex
from detection.data.names import split_name
from detection.data.recognise import KNOWN, Layout, look, read_tabled, what_is_there
from detection.data.survey import Survey
from detection.data.voc import read_voc
from detection.data.yolo import load_data_yaml, read_yolo
from detection.data.yolo_folders import read_yolo_folder
from detection.errors import InputError
from detection.files.documents import load_head

SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""keys of a data.yaml, and the split they mean"""

OTHER_TASKS = ("person_keypoints_", "captions_", "panoptic_", "stuff_", "image_info_")
"""COCO's files of other tasks, which lie in the folder of the instance annotations"""

Splits = dict[str, Path | str | tuple[str, ...]]


Classes = tuple[str, ...] | None
"""Class names in label order; None: the dataset's own."""


@dataclass(frozen=True)
class LocatedDataset:
    """A dataset on disk.

    splits: name -> where it is: the JSON file (coco), the list in ImageSets/Main or the folder of XML files (voc), the
    key of data.yaml (yolo); or, where the layout was found by looking, the files of the split below the root: those of
    its annotations, or its images (yolo). The usual splits are named train, val and test whatever the files call them.
    """

    format: str
    root: Path
    splits: Splits
    images: Path | None = None
    """folder of the images, where it was given"""
    found: str = ""
    """what was found by looking, in a line"""
    survey: Survey | None = None
    """the files below the root, where they were looked at"""

    def read(self, split: str, classes: tuple[str, ...] | None = None, report: Report | None = None) -> AnnotationIndex:
        """Read one split; with `classes`, those of the model or the training split, labels are in their order,
        whatever the order or the ids of the files.

        Raises InputError for an unknown split, for objects of other classes, and for whatever is wrong in the files;
        with `report`, single items that are wrong are told to it, a line each, and left out.
        """
        if split not in self.splits:
            raise InputError(f"{self.root}: has no split {split!r}; there is {', '.join(self.splits)}")
        index = READERS.get(self.format, _read_tabled)(self, split, classes, report)
        if self.found:
            index = replace(index, notes=(self.found, *index.notes))
        return index if classes is None else index.in_classes(tuple(classes))


def locate(path: Path, format: str = "auto", images: Path | None = None) -> LocatedDataset:
    """Find the dataset at `path`, a folder, file or archive.

    format: one of KNOWN, or auto to try each; images: the folder of the images, where it is not that of the annotations
    or near it. An archive is unpacked beside itself, once. Raises InputError where nothing is recognised, saying what
    is there.
    """
    path = Path(path)
    if format != "auto" and format not in KNOWN:
        raise InputError(f"unknown data format {format!r}; it can be auto, {', '.join(KNOWN)}")
    if not os.path.exists(path):  # Path.exists raises for names that no file system takes
        raise InputError(f"{path}: there is no such file or folder; give the path of a dataset")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: is a pipe or device; give the path of a dataset")
    if images is not None and not os.path.isdir(images):
        raise InputError(f"{images}: there is no such image folder; correct the path")
    given, path = path, _inside(unpacked(path))
    told = f"unpacked {given} into {path}" if path != _inside(given) else ""
    for name in FINDERS if format == "auto" else (format,):
        # A data.yaml says itself where its images are.
        splits = FINDERS[name](path) if name in FINDERS and not (name == "yolo" and images is not None) else {}
        if splits:
            return LocatedDataset(name, path, splits, None if images is None else Path(images), told)
    survey, layout = look(path, format, None if images is None else Path(images))
    shards = unpacked_shards(path, survey) if layout is None else None
    if shards is not None:
        found = locate(shards, format, images)
        return replace(found, found="; ".join(filter(None, (f"unpacked {path} into {shards}", found.found))))
    if layout is None:
        wanted = LOOKED_FOR.values() if format == "auto" else [LOOKED_FOR.get(format, f"files of {format}")]
        there = what_is_there(survey)
        raise InputError(
            f"{path}: no dataset found; looked for {'; for '.join(wanted)}{' and others' * (format == 'auto')}; {there}"
        )
    source = _source_of(layout, survey, path, None if images is None else Path(images))
    return replace(source, found=f"{told}; {source.found}" if told else source.found)


def _inside(path: Path) -> Path:
    """The folder that is all that `path` holds, as archives often have one around everything; else `path`."""
    while path.is_dir():
        inside = [item for item in sorted(path.iterdir()) if not item.name.startswith((".", "__MACOSX"))]
        if len(inside) != 1 or not inside[0].is_dir():
            break
        path = inside[0]
    return path


def _source_of(layout: Layout, survey: Survey, path: Path, images: Path | None) -> LocatedDataset:
    """A data.yaml deeper in the folder is a dataset of its own; COCO's splits are a file each."""
    if layout.inner is not None:
        return replace(locate(survey.root / layout.inner, "yolo", images), found=layout.told)
    splits: Splits = dict(layout.splits)
    if layout.format == "coco":
        splits = {}
        for split, files in layout.splits.items():
            for file in files:
                splits[split if len(files) == 1 else file] = survey.root / file
    return LocatedDataset(layout.format, survey.root if path.is_dir() else path, splits, images, layout.told, survey)


def _named(paths: list[Path], original: Callable[[Path], str]) -> Splits:
    """Canonical split names; where two files claim one (train2014 and train2017), both keep their own name.

    A single file that names no split is called train.
    """
    if len(paths) == 1:
        return {split_name(original(paths[0])) or "train": paths[0]}
    canonical = [split_name(original(path)) for path in paths]
    names = [
        name if name is not None and canonical.count(name) == 1 else original(path)
        for name, path in zip(canonical, paths, strict=True)
    ]
    order = {"train": 0, "val": 1, "test": 2}
    pairs = sorted(zip(names, paths, strict=True), key=lambda pair: (order.get(pair[0], 3), pair[0]))
    return dict(pairs)


def _find_coco(path: Path) -> Splits:
    if path.is_file():
        fits = path.suffix.lower() == ".json" and json_kind(path) in ("coco", "other", "")
        return _named([path], lambda file: file.stem) if fits else {}
    exported = sorted(path.glob("*/_annotations.coco.json"))
    if exported:
        return _named(exported, lambda file: file.parent.name)
    files = sorted((path / "annotations").glob("*.json")) or sorted(path.glob("*.json"))
    instances = [file for file in files if file.name.startswith("instances_")]
    files = instances or [file for file in files if not file.name.startswith(OTHER_TASKS)]
    if not instances and any(json_kind(file) not in ("coco", "") for file in files[:LOOKED_AT]):
        files = [file for file in files if json_kind(file) == "coco"]
    return _named(files, lambda file: file.stem)


def _find_voc(path: Path) -> Splits:
    if not path.is_dir():
        return {}
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    first = next(folder.glob("*.xml"), None)
    if first is not None and b"<annotations>" in load_head(first, 4096):
        return {}  # CVAT's
    if first is not None:
        listings = sorted((path / "ImageSets" / "Main").glob("*.txt"))
        # VOC lists every class once more: aeroplane_train.txt beside train.txt.
        stems = {file.stem for file in listings}
        whole = [file for file in listings if file.stem.rpartition("_")[2] not in stems - {file.stem}]
        return _named(whole, lambda file: file.stem) or {"train": path}
    exported = sorted(child for child in path.iterdir() if child.is_dir() and split_name(child.name))
    return _named([child for child in exported if any(child.glob("*.xml"))], lambda child: child.name)


def _find_yolo(path: Path) -> Splits:
    file = _yaml_file(path)
    if file is None:
        return {}
    keys = [key for key, value in load_data_yaml(file).items() if value and key in SPLIT_KEYS]
    return {SPLIT_KEYS[key]: key for key in keys}


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


def _read_coco(
    source: LocatedDataset, split: str, classes: tuple[str, ...] | None, report: Report | None
) -> AnnotationIndex:
    files = {name: Path(place) for name, place in source.splits.items() if not isinstance(place, tuple)}
    others = [file for name, file in files.items() if name != split]
    return read_coco(files[split], source.images, report, others, source.survey)


def _read_voc(
    source: LocatedDataset, split: str, classes: tuple[str, ...] | None, report: Report | None
) -> AnnotationIndex:
    place = source.splits[split]
    if isinstance(place, tuple):
        assert source.survey is not None, "found by looking"
        root = source.survey.root
        others = [root / name for name in source.survey.others[".xml"]]
        files = [root / name for name in place]
        return read_voc(root, split, classes, report, files, others, source.survey, source.images)
    place = Path(place)
    if not place.is_dir():
        return read_voc(source.root, place.stem, classes, report, images=source.images)
    others = [
        file
        for folder in source.splits.values()
        if Path(str(folder)).is_dir()
        for file in Path(str(folder)).glob("*.xml")
    ]
    return read_voc(place, split, classes, report, others=others, images=source.images)


def _read_yolo(
    source: LocatedDataset, split: str, classes: tuple[str, ...] | None, report: Report | None
) -> AnnotationIndex:
    place = source.splits[split]
    if isinstance(place, tuple):
        assert source.survey is not None, "found by looking"
        return read_yolo_folder(source.survey, place, report)
    file = _yaml_file(source.root)
    assert file is not None, "a yolo source has a data.yaml"
    return read_yolo(file, str(place), report)


def _read_tabled(
    source: LocatedDataset, split: str, classes: tuple[str, ...] | None, report: Report | None
) -> AnnotationIndex:
    assert source.survey is not None, "found by looking"
    splits = {name: files for name, files in source.splits.items() if isinstance(files, tuple)}
    return read_tabled(source.format, source.survey, splits, split, report)


FINDERS: dict[str, Callable[[Path], Splits]] = {
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
READERS: dict[str, Callable[[LocatedDataset, str, Classes, Report | None], AnnotationIndex]] = {
    "coco": _read_coco,
    "voc": _read_voc,
    "yolo": _read_yolo,
}
LOOKED_AT = 5
"""JSON files of a folder that are looked at to tell whether they are COCO's"""
