"""A mended copy of a dataset, in its own format where that can be written, else in COCO's, with a log of every change.

Only what a rule decides is mended (see `findings.RULES`); doubtful items, the notes, stay for a person. Outlines of
COCO and YOLO become boxes, as everywhere here. Images are hard links where the file system has them, else copies: a
link is the same file, so edit neither in place.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.check import box_flaws, find_flaws
from detection.data.index import AnnotationIndex
from detection.doctor.classes import relabelled, spellings
from detection.doctor.examine import Examination, judge
from detection.doctor.findings import RULES, Item
from detection.doctor.folders import WRITERS, Parts, appearing_whole, refuse_place, written_as
from detection.doctor.pictures import Album
from detection.errors import InputError
from detection.files.atomic import write_atomically

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
    refuse_place(Path(examination.source.root), out)
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
        raise InputError(f"{examination.source.root}: no image would be left; fix the dataset by hand")
    with appearing_whole(out) as folder:
        WRITERS[written_as(examination.source.format)](parts, examination.unions, folder)
        lines = "".join(json.dumps(change) + "\n" for change in changes)
        write_atomically(folder / "changes.jsonl", lines.encode())
    return len(changes)


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
