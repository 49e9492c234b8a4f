"""A mended copy of a dataset, in its own format, with a log of every change.

Only what a rule decides is mended (see `findings.RULES`); doubtful items, the notes, stay for a person. Outlines of
COCO and YOLO become boxes, as everywhere here. Images are hard links where the file system has them, else copies: a
link is the same file, so edit neither in place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from detection.atomic import write_atomically
from detection.data.check import box_flaws, find_flaws
from detection.data.coco import write_coco
from detection.data.index import AnnotationIndex
from detection.data.voc import write_voc
from detection.data.yolo import write_yolo
from detection.doctor.classes import relabelled, spellings
from detection.doctor.examine import Examination, judge
from detection.doctor.findings import RULES, Item
from detection.doctor.pictures import Album
from detection.errors import InputError

Parts = dict[str, AnnotationIndex]
Log = Callable[[str, Item], None]

ROUNDS = 10
"""Mending can break a rule anew: an image that leaves the training split may take the last object of a class along."""

IMAGES_LEFT_OUT = (
    "image missing",
    "image unreadable",
    "image size",
    "shared image",
    "similar split",
    "copy",
    "copy differs",
)
BOXES_LEFT_OUT = ("empty box", "duplicate box")


def mend(examination: Examination, out: Path) -> int:
    """Write the mended copy into the new folder `out`, which appears whole or not at all; returns the changes made.

    Raises InputError where `out` holds something or lies in the dataset, and where nothing would be left.
    """
    _refuse_place(Path(examination.source.root), out)
    changes: list[dict[str, Any]] = []

    def log(rule: str, item: Item) -> None:
        told = {"split": item.split, "image": item.image, "annotation": item.annotation}
        changes.append({"rule": rule, **told, "change": RULES[rule].mended, "was": item.text})

    for finding in examination.findings:
        if finding.rule in ("structure", "classes differ"):
            for item in finding.items:
                log(finding.rule, item)
    parts = mended(examination.parts, examination.album, log)
    if not any(len(index.xywh) for index in parts.values()):
        raise InputError(f"{examination.source.root}: nothing would be left; mend it by hand")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        WRITERS[examination.source.format](parts, examination.unions, temporary)
        lines = "".join(json.dumps(change) + "\n" for change in changes)
        write_atomically(temporary / "changes.jsonl", lines.encode())
        if out.is_dir():
            out.rmdir()
        os.replace(temporary, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(changes)


def _refuse_place(root: Path, out: Path) -> None:
    folder = (root if root.is_dir() else root.parent).resolve()
    if out.resolve().is_relative_to(folder):
        raise InputError(f"{out}: lies in the dataset, which is never touched; give a folder elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a new folder for the mended copy")


def mended(parts: Parts, album: Album, log: Log) -> Parts:
    """The splits with errors mended first, then warnings, until none is left that can be."""
    for _ in range(ROUNDS):
        flawed = {split: find_flaws(index, album.size) for split, index in parts.items()}
        if any(rows for flaws in flawed.values() for rows in flaws.values()):
            found = [pair for pair in judge(parts, album) if RULES[pair[0]].severity == "error"]
        else:
            found = [pair for pair in judge(parts, album) if RULES[pair[0]].severity == "warning"]
        found = [pair for pair in found if pair[0] != "empty split"]
        if not found:
            break
        spelling = spellings(parts) if any(rule == "class names" for rule, _ in found) else {}
        for rule, item in found:
            log(rule, item)
        parts = {split: _mend_split(split, index, found, spelling) for split, index in parts.items()}
    return parts


def _mend_split(
    split: str, index: AnnotationIndex, found: list[tuple[str, Item]], spelling: dict[str, str]
) -> AnnotationIndex:
    mine = [(rule, item.row) for rule, item in found if item.split == split and item.row is not None]
    images = {row for rule, row in mine if rule in IMAGES_LEFT_OUT}
    boxes = [row for rule, row in mine if rule in BOXES_LEFT_OUT]
    labels = [row for rule, row in mine if rule == "class untrained"]
    _, _, outside = box_flaws(index)
    keep = ~np.isin(index.labels, labels) & ~outside
    keep[boxes] = False
    index = _clipped(index, [row for rule, row in mine if rule == "box outside"])
    index = index.select_annotations(keep)
    index = index.select_images(np.array([i for i in range(len(index)) if i not in images], dtype=np.int64))
    if not spelling:
        return index
    names = tuple(name for name in index.class_names if name not in spelling)
    return relabelled(index, names, spelling)


def _clipped(index: AnnotationIndex, rows: list[int]) -> AnnotationIndex:
    """The index with the boxes `rows` cut at the edges of their images; areas shrink with them."""
    xywh, areas = index.xywh.copy(), index.areas.copy()
    frame = index.sizes[np.searchsorted(index.offsets, rows, side="right") - 1][:, ::-1]
    low = np.clip(xywh[rows, :2], 0, frame)
    high = np.clip(xywh[rows, :2] + xywh[rows, 2:], 0, frame)
    xywh[rows] = np.concatenate([low, high - low], axis=1)
    areas[rows] = np.minimum(areas[rows], (high - low).prod(axis=1))
    return replace(index, xywh=xywh, areas=areas)


def _write_coco(parts: Parts, unions: dict[str, list[str]], out: Path) -> None:
    for split, index in parts.items():
        name = split.removeprefix("instances_")
        for row in range(len(index)):
            _put(index.path(row), out / name / index.file_names[row].decode())
        write_coco(index, out / "annotations" / f"instances_{name}.json")


def _write_voc(parts: Parts, unions: dict[str, list[str]], out: Path) -> None:
    owner: dict[str, Path] = {}
    for split, index in parts.items():
        named = _renamed(split, index, owner)
        for row in range(len(index)):
            _put(index.path(row), out / "JPEGImages" / named.file_names[row].decode())
        write_voc(named, out, split)
    lists = out / "ImageSets" / "Main"
    for union, inside in unions.items():
        write_atomically(lists / f"{union}.txt", b"".join((lists / f"{split}.txt").read_bytes() for split in inside))


def _write_yolo(parts: Parts, unions: dict[str, list[str]], out: Path) -> None:
    for split, index in parts.items():
        named = _renamed(split, index, {})
        for row in range(len(index)):
            _put(index.path(row), out / "images" / split / named.file_names[row].decode())
        write_yolo(named, out, split)


def _renamed(split: str, index: AnnotationIndex, owner: dict[str, Path]) -> AnnotationIndex:
    """The index with file names without folder, no two with one stem. owner: stem -> the image that has it already;
    what it holds is added to."""
    names = []
    for row in range(len(index)):
        path, name = index.path(row), PurePosixPath(index.file_names[row].decode()).name
        if owner.setdefault(PurePosixPath(name).stem, path) != path:
            name = f"{split}_{row}_{name}"
            owner[PurePosixPath(name).stem] = path
        names.append(name.encode())
    return replace(index, file_names=np.array(names, dtype=np.bytes_))


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        return
    try:
        os.link(source.resolve(), place)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, place)


WRITERS = {"coco": _write_coco, "voc": _write_voc, "yolo": _write_yolo}
