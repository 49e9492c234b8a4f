"""A whole dataset under examination: every split read as far as it can be, every rule applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detection.automatic.anchors import Anchors, input_scale, recall, usual_anchors
from detection.automatic.choose import METRIC_LIMIT, choose_anchors, choose_sides
from detection.counted import counted
from detection.data.check import (
    CORNERS,
    find_flaws,
    holds_corners,
    image_flaws,
    leave_out,
    misread,
    name_item,
    turned_upright,
)
from detection.data.image import Size, bits_in_use
from detection.data.index import AnnotationIndex
from detection.data.locate import LocatedDataset
from detection.doctor.boxes import duplicate_boxes, unusual_boxes
from detection.doctor.classes import class_lists, class_names, distribution, united, untrained
from detection.doctor.copies import copied_images, unions
from detection.doctor.findings import SEVERITIES, Finding, Item, grouped, image_item
from detection.doctor.pictures import Album
from detection.errors import InputError

WIDE = (".png", ".tif", ".tiff", ".pgm", ".jp2", ".j2k")
"""Endings of formats that hold 16 bits."""

Parts = dict[str, AnnotationIndex]
Found = list[tuple[str, Item]]


@dataclass(frozen=True)
class Advice:
    """Settings with the share of boxes that their anchors meet at each IoU. name: whose settings."""

    name: str
    anchors: Anchors
    recall: dict[float, float]


@dataclass(frozen=True)
class Examination:
    """parts: the splits as read, with one list of classes; unions: splits that are others together; advice: the best
    last."""

    source: LocatedDataset
    parts: Parts
    unions: dict[str, list[str]]
    findings: list[Finding]
    advice: list[Advice]
    album: Album

    def count(self, severity: str) -> int:
        return sum(len(finding.items) for finding in self.findings if finding.severity == severity)

    @property
    def status(self) -> int:
        """The exit status: 2 with errors, 1 with warnings, else 0."""
        worst = [severity for severity in SEVERITIES if self.count(severity)]
        return {"error": 2, "warning": 1}.get(worst[0], 0) if worst else 0


def examine(source: LocatedDataset, quick: bool = False) -> Examination:
    """Examine all splits of a dataset. quick: of images only the headers are read, so that broken pixels, copies and
    look-alikes are not found. Raises InputError where no split can be read at all."""
    parts, found = read_parts(source)
    if not parts:
        raise InputError(found[0][1].text)
    together = unions(parts)
    parts = {split: index for split, index in parts.items() if split not in together}
    found += class_lists(parts)
    album = Album(quick)
    parts, turned = upright(united(parts), album.size)
    found += turned + judge(parts, album)
    return Examination(source, parts, together, grouped(found), _advice(parts), album)


def read_parts(source: LocatedDataset) -> tuple[Parts, Found]:
    """The splits without the items that cannot be read, and these."""
    parts: Parts = {}
    found: Found = []
    told: set[str] = set()

    def tell(split: str, line: str) -> None:
        if line not in told:  # splits of VOC share files
            told.add(line)
            found.append(("structure", Item(split, line)))

    for split in source.splits:
        try:
            parts[split] = source.read(split, None, lambda line, split=split: tell(split, line))  # type: ignore[misc]
            found += [("reading", Item(split, f"{split}: {line}")) for line in parts[split].notes]
        except InputError as error:
            tell(split, str(error))
    return parts, found


def upright(parts: Parts, look: Callable[[Path], Size]) -> tuple[Parts, Found]:
    """The splits with the boxes of images that EXIF turns in the frame that is shown, and what was turned."""
    changed, found = {}, []
    for split, index in parts.items():
        changed[split], notes = turned_upright(index, image_flaws(index, look)["image size"])
        found += [("reading", Item(split, f"{split}: {note}")) for note in notes]
    return changed, found


def judge(parts: Parts, album: Album) -> Found:
    """All that is wrong in splits of one list of classes. Images are opened by several threads, each once."""
    found: Found = []
    sound: Parts = {}
    for split, index in parts.items():
        flaws = find_flaws(index, album.size)
        if holds_corners(index):  # one fault, not one of every box
            flaws["box outside"] = {}
            found.append(("corners", Item(split, f"{split}: {CORNERS}")))
        elif absurd := misread(index):
            found.append(("misread", Item(split, f"{split}: {absurd}")))
        for rule, rows in flaws.items():
            for row, complaint in rows.items():
                found.append((rule, _flaw(split, index, rule, row, complaint)))
        sound[split], _ = leave_out(index, flaws)
        if not len(sound[split]) or (split == "train" and not len(sound[split].xywh)):
            found.append(("empty split", Item(split, f"{split} has {len(sound[split])} sound images and no sound box")))
    short, long = _input_size(sound)
    for split, index in sound.items():
        found += duplicate_boxes(split, index) + unusual_boxes(split, index, input_scale(index, short, long))
        found += distribution(split, index)
        found += [] if album.quick else dark_images(split, index)
        counts = np.diff(index.offsets)
        for row in np.flatnonzero(counts > METRIC_LIMIT).tolist():
            found.append(("crowded image", image_item(split, index, row, f"has {counted(counts[row], 'object')}")))
        for row in np.flatnonzero(np.diff(index.offsets) == 0).tolist():
            found.append(("no objects", image_item(split, index, row, "has no objects")))
    return found + class_names(sound) + untrained(sound) + copied_images(sound, album)


def dark_images(split: str, index: AnnotationIndex) -> Found:
    """16-bit images of which few bits are used."""
    found: Found = []
    for row in range(len(index)):
        if index.path(row).suffix.lower() in WIDE:
            bits = bits_in_use(index.path(row))
            if bits is not None:
                found.append(("dark image", image_item(split, index, row, f"holds values of {bits} bits")))
    return found


def _flaw(split: str, index: AnnotationIndex, rule: str, row: int, complaint: str) -> Item:
    if rule.startswith("image"):
        return image_item(split, index, row, complaint)
    name = name_item(index, rule, row)
    image = int(np.searchsorted(index.offsets, row, side="right")) - 1
    box = tuple(index.xywh[row].tolist())
    file, number = index.file_names[image].decode(), int(index.annotation_ids[row])
    return Item(split, f"{name} {complaint}", file, number, row, (box,), (int(index.labels[row]),))


def _training(parts: Parts) -> AnnotationIndex | None:
    """The split that settings are chosen by, where it has anything in it."""
    index = parts.get("train") or next(iter(parts.values()), None)
    return index if index is not None and len(index.xywh) else None


def _input_size(parts: Parts) -> tuple[int, int]:
    """(short, long) side that `frcnn train` would choose on this machine; its defaults without boxes."""
    index = _training(parts)
    if index is None:
        return 800, 1333
    return choose_sides(index, _device().type == "cuda")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _advice(parts: Parts) -> list[Advice]:
    index = _training(parts)
    if index is None:
        return []
    sides = _input_size(parts)
    rows = {
        "defaults of a config": usual_anchors("fpn", 800, 1333),
        "the same in smaller images": usual_anchors("fpn", *sides),
        "chosen by `frcnn train`": choose_anchors(index, sides),
    }
    return [Advice(name, anchors, recall(index, anchors)) for name, anchors in rows.items()]
