"""From what a format's reader found, image by image, to an annotation index."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.data.columns import FARTHEST, brief
from detection.data.flaws import Report, reported
from detection.data.image import image_size
from detection.data.index import AnnotationIndex
from detection.data.names import unshowable
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError


class Thing(NamedTuple):
    """One object: its class, and x, y, width, height in pixels, or in shares of the image where the image says so."""

    label: str
    xywh: tuple[float, float, float, float]
    crowd: bool = False


@dataclass
class Annotated:
    """An image as an annotation file has it. name: as written; near: the folder of the annotation file, relative to the
    survey's root; size: (height, width), None to take it from the image; where: file and item, for messages."""

    name: str
    near: str
    where: str
    size: tuple[int, int] | None = None
    things: list[Thing] = field(default_factory=list)
    shares: bool = False
    """whether boxes are shares of the image's sides"""


def thing(label: object, corners: Sequence[object], where: str, tally: Tally, crowd: bool = False) -> Thing:
    """An object from x1, y1, x2, y2, sorted where they are the wrong way round. Raises InputError for what is no class
    name or no number."""
    name = _class_name(label) if type(label) in (str, int) else ""
    if not name:
        raise InputError(f"{where}: the class is {brief(label)}; it must be a text without control characters")
    try:
        x1, y1, x2, y2 = map(float, corners)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        x1 = y1 = x2 = y2 = math.nan
    # Comparisons with nan are false, so that what is no number is refused too.
    if not (-FARTHEST < x1 < FARTHEST and -FARTHEST < y1 < FARTHEST and abs(x2) < FARTHEST and abs(y2) < FARTHEST):
        raise InputError(f"{where}: the box is {brief(list(corners))}; it must be four numbers")
    if x1 > x2 or y1 > y2:
        tally.add("boxes had their corners in the wrong order: sorted", where)
        x1, y1, x2, y2 = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    return Thing(name, (x1, y1, x2 - x1, y2 - y1), crowd)


@lru_cache(maxsize=1 << 14)
def _class_name(label: object) -> str:
    """The name, or "" where it is none; kept, as a table repeats it a million times."""
    name = str(label).strip()
    return "" if unshowable(name) else name


def assemble(
    found: Iterable[Annotated],
    survey: Survey,
    source: Path,
    report: Report | None,
    tally: Tally,
    classes: tuple[str, ...] | None = None,
) -> AnnotationIndex:
    """The index of annotated images, in their order; entries of one image are united. classes: the names in order,
    where the format lists them; without them, the sorted names that objects have.

    Raises InputError where an image is not there or could be more than one, or its size cannot be read; with `report`
    it is told that and left out.
    """
    images: dict[str, Annotated] = {}
    for item in found:
        with reported(report):
            path = _path(item, survey, tally)
            if path in images:
                images[path].things += item.things
                continue
            if item.size is None or min(item.size) < 1:
                item.size = image_size(survey.image_root / path)
                tally.add("sizes were missing or zero: read from the images", path)
            images[path] = item
    things = [thing_ for item in images.values() for thing_ in item.things]
    names = tuple(sorted({item.label for item in things})) if classes is None else classes
    number = {name: k for k, name in enumerate(names)}
    for item in images.values():
        for unknown in (t.label for t in item.things if t.label not in number):
            raise InputError(f"{item.where}: class {brief(unknown)} is not one of {', '.join(names)}; add it")
    counts = [len(item.things) for item in images.values()]
    sizes = np.array([item.size for item in images.values()], dtype=np.int32).reshape(-1, 2)
    xywh = np.array([t.xywh for t in things], dtype=np.float64).reshape(-1, 4)
    shares = np.repeat([item.shares for item in images.values()], counts).astype(bool)
    scale = np.repeat(np.tile(sizes[:, ::-1], 2), counts, axis=0)
    xywh[shares] *= scale[shares]
    return AnnotationIndex(
        root=survey.image_root,
        source=source,
        class_names=names,
        category_ids=np.arange(1, len(names) + 1, dtype=np.int64),
        image_ids=np.arange(1, len(images) + 1, dtype=np.int64),
        file_names=np.array([path.encode() for path in images], dtype=np.bytes_),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        xywh=xywh,
        labels=np.array([number[t.label] for t in things], dtype=np.int64),
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(1, len(things) + 1, dtype=np.int64),
        crowd=np.array([t.crowd for t in things], dtype=bool),
        difficult=np.zeros(len(things), dtype=bool),
        notes=tally.lines(),
    )


def _path(item: Annotated, survey: Survey, tally: Tally) -> str:
    match = survey.find(item.name, item.near)
    if match is None:
        raise InputError(
            f"{item.where}: the image {brief(item.name)} is not below {survey.image_root}, or several could be meant; "
            "correct the name or add it"
        )
    if match[1] == "stem":
        tally.add("images were named without their ending: found by stem", f"{item.name}: {match[0]}")
    return match[0]
