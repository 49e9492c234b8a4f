"""YOLO without a data.yaml: obj.data of darknet and CVAT, classes.txt of labelImg and Label Studio, or labels alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from detection.data.flaws import Report
from detection.data.formats.json_files import load_json, parts
from detection.data.image import EXTENSIONS
from detection.data.index import AnnotationIndex
from detection.data.names import unshowable
from detection.data.survey import Survey, best, grouped, plain
from detection.data.yolo import MOST_CLASSES, index_of, load_data_yaml, named_classes
from detection.errors import InputError
from detection.files.documents import load_head, load_text

CLASS_FILES = ("classes.txt", "labels.txt", "class_names.txt", "predefined_classes.txt", "_darknet.labels")
LOOKED_AT = 50
"""label files of a folder that are looked at to tell what the folder holds"""
_ROW = re.compile(r"\s*-?\d+(?:\.0+)?(?:\s+-?[\d.]+(?:[eE][-+]?\d+)?){4,}\s*$")


def label_files(survey: Survey) -> list[str]:
    """The text files that hold rows of YOLO, and those in their folders; none where no folder has any."""
    texts = [name for name in survey.others[".txt"] if PurePosixPath(name).name.lower() not in CLASS_FILES]
    found = []
    for group in grouped(texts, lambda name: name.rpartition("/")[0]).values():
        if any(_holds_rows(survey.root / name) for name in group[:LOOKED_AT]):
            found += group
    return found


def _holds_rows(path: Path) -> bool:
    lines = load_head(path, 4096).decode("utf-8-sig", "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    return _ROW.match(first) is not None


def class_names(survey: Survey) -> tuple[str, ...] | None:
    """The names that a class file lists, a line each, or a YAML file; None where there is no such file. Raises
    InputError where two such files differ."""
    files = [name for name in survey.others[".txt"] if PurePosixPath(name).name.lower() in CLASS_FILES]
    files += survey.others[".names"] + survey.others[".labels"]
    lists = {}
    for name in files:
        lines = [line.strip() for line in load_text(survey.root / name, "a class a line").splitlines()]
        lists[name] = tuple(lines[: max((k + 1 for k, line in enumerate(lines) if line), default=0)])
    for name in survey.others[".json"]:
        if not files and PurePosixPath(name).name == "notes.json":
            content = load_json(survey.root / name)
            entries = parts(content.get("categories")) if isinstance(content, dict) else []
            lists[name] = tuple(str(entry.get("name")) for entry in entries)
    for name in () if files else (*survey.others[".yaml"], *survey.others[".yml"]):
        with suppress(InputError):  # a foreign file beside the data
            lists[name] = named_classes(load_data_yaml(survey.root / name), survey.root / name)
    if len(set(lists.values())) > 1:
        raise InputError(f"{survey.root}: {' and '.join(list(lists)[:3])} list different classes; delete the wrong one")
    for name, names in lists.items():
        if not names or len(set(names)) < len(names) or any(unshowable(text) for text in names):
            raise InputError(f"{survey.root / name}: must list the class names, a line each, no two alike")
        return names
    return None


def listed_splits(survey: Survey) -> dict[str, list[str]]:
    """Split word -> its images, by darknet's *.data or by lists such as train.txt; empty where there are none."""
    texts = survey.others[".txt"]
    lists: dict[str, str] = {}
    for name in survey.others[".data"]:
        for line in load_text(survey.root / name, "`key = value` lines").splitlines():
            key, _, value = (part.strip() for part in line.partition("="))
            file = best(
                [text for text in texts if text.split("/")[-1] == plain(value).split("/")[-1]], plain(value), ""
            )
            if key in ("train", "valid", "val", "test") and file:
                lists[key] = file
    for name in () if lists else texts:
        stem = PurePosixPath(name).stem.lower()
        if stem in ("train", "val", "valid", "test"):
            lists[stem] = name
    found: dict[str, list[str]] = {}
    for key, name in lists.items():
        lines = [line.strip() for line in load_text(survey.root / name, "an image a line").splitlines()]
        named = [line for line in lines if os.path.splitext(line)[1].lower() in EXTENSIONS]
        if named:
            matches = [survey.find(line, name.rpartition("/")[0]) for line in named]
            missing = [line for line, match in zip(named, matches, strict=True) if match is None]
            if missing:
                raise InputError(
                    f"{survey.root / name}: {missing[0][:200]!r} is not below {survey.root}; add the image"
                )
            found[key] = list(dict.fromkeys(match[0] for match in matches if match))
    return found


def read_yolo_folder(survey: Survey, images: Sequence[str], report: Report | None) -> AnnotationIndex:
    """The index of `images`, relative to the survey's root. An image's labels are the text of its name: beside it, or
    in the folder that shares most of its path."""
    texts = label_files(survey)
    known = set(texts)
    by_stem = grouped(texts, lambda name: PurePosixPath(name).stem)
    labels: list[str | None] = []
    for image in images:
        folder, _, name = image.rpartition("/")
        stem = os.path.splitext(name)[0]
        own = f"{folder}/{stem}.txt" if folder else f"{stem}.txt"
        match = own if own in known else best(by_stem.get(stem, []), image, folder)
        labels.append(None if match is None else os.path.join(survey.root, match))
    names = class_names(survey) or tuple(map(str, range(_most(survey, texts) + 1)))
    paths = [os.path.join(survey.image_root, image) for image in images]
    return index_of(paths, labels, names, survey.image_root, survey.root, report)


def _most(survey: Survey, texts: list[str]) -> int:
    """The largest class of all label files, where nothing names the classes."""
    largest = 0
    for name in texts:
        for line in load_text(survey.root / name, "a line an object").splitlines():
            first = line.split(maxsplit=1)[0] if line.strip() else ""
            if first.isdecimal() and int(first) < MOST_CLASSES:
                largest = max(largest, int(first))
    return largest
