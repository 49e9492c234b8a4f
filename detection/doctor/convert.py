"""A dataset in another format, images and all."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from detection.counted import counted
from detection.data.image import image_size
from detection.data.index import AnnotationIndex
from detection.data.locate import LocatedDataset
from detection.doctor.classes import united
from detection.doctor.copies import unions
from detection.doctor.examine import read_parts, upright
from detection.doctor.folders import WRITERS, Parts, appearing_whole, refuse_place
from detection.errors import InputError


def convert(source: LocatedDataset, format: str, out: Path) -> list[str]:
    """Write all splits of a dataset into the new folder `out` in `format`, a key of WRITERS; returns a line for each
    split and for whatever is left out or has no word in the format.

    Raises InputError where `out` holds something or lies in the dataset, and where no split can be read.
    """
    refuse_place(Path(source.root), out)
    parts, together, lines = whole_parts(source)
    for what, count in lost(parts.values(), format).items():
        if count:
            lines.append(f"{count} {what}")
    with appearing_whole(out) as folder:
        WRITERS[format](parts, together, folder)
    return [*lines, *sizes_of(parts)]


def whole_parts(source: LocatedDataset) -> tuple[Parts, dict[str, list[str]], list[str]]:
    """(splits in one list of classes, splits that are others together, a line for whatever is left out of them). Images
    without a file are, since there is nothing to write. Raises InputError where no split can be read."""
    parts, found = read_parts(source)
    if not parts:
        raise InputError(found[0][1].text)
    together = unions(parts)
    parts = united({split: index for split, index in parts.items() if split not in together})
    lines = []
    for split, index in parts.items():
        there = np.array([os.path.isfile(index.path(i)) for i in range(len(index))], dtype=bool)
        if not there.all():
            first = index.file_names[int(np.argmin(there))].decode()
            lines.append(
                f"{split}: left out {counted(int((~there).sum()), 'image')} without a file; the first: {first}"
            )
            parts[split] = index.select_images(np.flatnonzero(there))
    parts, turned = upright(parts, image_size)
    found += turned
    flawed = [item.text for rule, item in found if rule == "structure"]
    if flawed:
        lines.append(f"{len(flawed)} items cannot be read, left out; the first: {flawed[0]}")
    lines += [item.text for rule, item in found if rule == "reading"]
    return parts, together, lines


def sizes_of(parts: Parts) -> list[str]:
    """A line for each split that is written."""
    return [
        f"{split}: {counted(len(index), 'image')}, {counted(len(index.xywh), 'object')}"
        for split, index in parts.items()
    ]


def lost(parts: Collection[AnnotationIndex], format: str) -> dict[str, int]:
    """What the format has no word for, and how often it is there."""
    crowds, difficult = (sum(int(getattr(index, name).sum()) for index in parts) for name in ("crowd", "difficult"))
    return {
        "coco": {"difficult objects become ordinary ones: COCO cannot express them": difficult},
        "voc": {"crowds become difficult objects: VOC cannot express them": crowds},
        "yolo": {
            "crowds are left out: YOLO cannot express them": crowds,
            "difficult objects become ordinary ones: YOLO cannot express them": difficult,
        },
    }[format]
