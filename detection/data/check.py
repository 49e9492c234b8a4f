"""What can be wrong with a dataset that reads well: missing or broken images, invalid boxes.

The rules:
    image missing       the file is not in its folder
    image unreadable    its header, or with decode=True its pixels, cannot be read
    image size          the upright image has another size than its annotation says
    empty box           width or height below MIN_SIDE, or both of one pixel at most, which is a stray click (VOC files
                        write it as xmin = xmax, ymin = ymax); the only rule for crowd boxes
    corners             every box has its far corner where COCO has width and height; of a whole split, whatever the
                        policy, since all of its boxes would be read wrong
    misread             nearly all boxes are specks or wholly outside; of a whole split likewise
    box outside         it reaches over the image by more than MARGIN on any side; a margin is rounding, and is left
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from detection.counted import counted
from detection.data.image import Size, boxes_upright, image_size, orientation_of, read_image
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.chunks import in_threads
from detection.progress import track

MIN_SIDE = 1e-3
"""pixels"""
MARGIN = 1.0
"""pixels; tools that count pixels from 1, or to the last one inside, are off by this much"""

CORNERS = "boxes stick out of their images, and every one fits as corners, x1 y1 x2 y2"
FEW = 10
"""boxes; of fewer, half must stick out before they are taken for corners"""
SPECK, NEARLY_ALL = 2.0, 0.9
"""pixels of a side, and the share of boxes, for `misread`"""


def check_index(
    index: AnnotationIndex, policy: str, decode: bool, needs_objects: bool = True
) -> tuple[AnnotationIndex, list[str]]:
    """Check images and boxes; returns the index to use and one report line for each rule that was broken.

    policy "error": raise InputError on the first flaw, with the number of further ones. policy "skip": leave out flawed
    images, empty boxes and boxes wholly outside their image; a box partly outside is reported and kept, training clips
    it. decode: decode every image whole, which finds truncated files, rather than read its header. A split without
    images raises under either policy, and one without objects where it needs them: to train on, not to test on, which
    then tells of false alarms.
    """
    if policy not in ("error", "skip"):
        raise InputError(f"unknown policy {policy!r} for flawed data; it can be error or skip")
    _refuse_empty(index, "", needs_objects)
    if holds_corners(index):
        raise InputError(f"{index.source}: {CORNERS}; write x y width height, as COCO has it")
    if absurd := misread(index):
        raise InputError(f"{index.source}: {absurd}; check the format: the files are probably not read as intended")
    flaws = image_flaws(index, _decoded_size if decode else image_size)
    index, turned = turned_upright(index, flaws["image size"])
    flaws |= _box_complaints(index)
    if policy == "error":
        _raise_first(index, flaws)
        return index, turned
    kept, outside = leave_out(index, flaws)
    report = [*turned, *_report(index, flaws, outside)]
    _refuse_empty(kept, " once flawed ones are left out: " + "; ".join(report) if report else "", needs_objects)
    return kept, report


def find_flaws(index: AnnotationIndex, look: Callable[[Path], Size]) -> dict[str, dict[int, str]]:
    """Rule -> row of an image or annotation -> what is wrong with it. `look` opens an image and tells its upright
    (height, width), or raises InputError; it is called by several threads."""
    return image_flaws(index, look) | _box_complaints(index)


def image_flaws(index: AnnotationIndex, look: Callable[[Path], Size]) -> dict[str, dict[int, str]]:
    """Those of the images alone."""
    flaws = _missing_images(index)
    present = np.array([i for i in range(len(index)) if i not in flaws["image missing"]], dtype=np.int64)
    return flaws | _unreadable_images(index, present, look)


def _box_complaints(index: AnnotationIndex) -> dict[str, dict[int, str]]:
    empty, beyond, _ = box_flaws(index)
    return {
        "empty box": {row: f"is empty: {_box(index, row)}" for row in np.flatnonzero(empty).tolist()},
        "box outside": {
            row: f"sticks out of the image of {_size(index, row)}: {_box(index, row)}"
            for row in np.flatnonzero(beyond).tolist()
        },
    }


def turned_upright(index: AnnotationIndex, wrong_size: dict[int, str]) -> tuple[AnnotationIndex, list[str]]:
    """The index with the boxes of images that EXIF turns by a quarter, and that were annotated as they are stored,
    turned along with them; and a line that says so. wrong_size: rows whose size is another than annotated, from which
    these are taken out: that the annotated size is the stored picture's shows which frame was meant."""
    turned = {}
    for row in wrong_size:
        orientation, size = orientation_of(index.path(row)), tuple(index.sizes[row].tolist())
        if orientation >= 5 and image_size(index.path(row)) == size[::-1]:
            turned[row] = orientation
    if not turned:
        return index, []
    xywh, sizes = index.xywh.copy(), index.sizes.copy()
    for row, orientation in turned.items():
        del wrong_size[row]
        height, width = sizes[row].tolist()
        xywh[index.rows(row)] = boxes_upright(xywh[index.rows(row)], (height, width), orientation)
        sizes[row] = width, height
    first = index.file_names[next(iter(turned))].decode()
    return replace(index, xywh=xywh, sizes=sizes), [
        f"{counted(len(turned), 'image')} that EXIF turns by a quarter: the annotated size is the stored picture's, so "
        f"the boxes were turned with it (the first: {first})"
    ]


def leave_out(index: AnnotationIndex, flaws: dict[str, dict[int, str]]) -> tuple[AnnotationIndex, int]:
    """The index without flawed images, empty boxes and boxes wholly outside, and how many of these there are."""
    bad = {row for rule, found in flaws.items() if rule.startswith("image") for row in found}
    empty, _, outside = box_flaws(index)
    kept = index.select_annotations(~(empty | outside))
    kept = kept.select_images(np.array([i for i in range(len(index)) if i not in bad], dtype=np.int64))
    return kept, int(outside.sum())


def _refuse_empty(index: AnnotationIndex, reason: str, needs_objects: bool) -> None:
    """Raise InputError for an index without images, or without the objects that it needs."""
    if len(index) == 0:
        raise InputError(f"{index.source}: empty split, there are no images{reason}")
    if needs_objects and len(index.xywh) == 0:
        raise InputError(
            f"{index.source}: empty split, {counted(len(index), 'image')} but no annotated object{reason}; "
            "annotate some"
        )


def _missing_images(index: AnnotationIndex) -> dict[str, dict[int, str]]:
    """By listing each folder once: a stat an image takes minutes on network drives."""
    files: dict[Path, set[str]] = {}
    missing = {}
    for i in range(len(index)):
        path = index.path(i)
        if path.parent not in files:
            files[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in files[path.parent]:
            missing[i] = f"is missing from {path.parent}"
    return {"image missing": missing}


def _decoded_size(path: Path) -> Size:
    height, width = read_image(path).shape[:2]
    return height, width


def _unreadable_images(
    index: AnnotationIndex, rows: np.ndarray, look: Callable[[Path], Size]
) -> dict[str, dict[int, str]]:
    def size_of(row: int) -> Size | str:
        try:
            return look(index.path(row))
        except InputError as error:
            return str(error).removeprefix(f"{index.path(row)}: ")

    unreadable, wrong_size = {}, {}
    looked = track(in_threads(size_of, rows.tolist()), "checking images", len(rows))
    for row, size in zip(rows.tolist(), looked, strict=True):
        height, width = index.sizes[row].tolist()
        if isinstance(size, str):
            unreadable[row] = f"is broken: {size}"
        elif size != (height, width):
            wrong_size[row] = f"is {size[1]}x{size[0]} but annotated as {width}x{height}"
    return {"image unreadable": unreadable, "image size": wrong_size}


def box_flaws(index: AnnotationIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three masks (M,) bool: empty; reaching over the image, but not empty; wholly outside it."""
    sizes = np.repeat(index.sizes, np.diff(index.offsets), axis=0)[:, ::-1]
    low, high = index.xywh[:, :2], index.xywh[:, :2] + index.xywh[:, 2:]
    sides = index.xywh[:, 2:]
    empty = (sides < MIN_SIDE).any(axis=1) | (sides <= 1).all(axis=1)
    judged = ~empty & ~index.crowd
    beyond = judged & ((low < -MARGIN) | (high > sizes + MARGIN)).any(axis=1)
    outside = judged & ((low >= sizes) | (high <= 0)).any(axis=1)
    return np.asarray(empty), np.asarray(beyond | outside), np.asarray(outside)


def holds_corners(index: AnnotationIndex) -> bool:
    """Whether some boxes stick out of their images, and all lie in them once read as x1 y1 x2 y2."""
    return are_corners(index.xywh, np.repeat(index.sizes, np.diff(index.offsets), axis=0))


def are_corners(xywh: np.ndarray, sizes: np.ndarray) -> bool:
    """The same of boxes (M, 4) in images of sizes (M, 2), height and width."""
    near, far, limits = xywh[:, :2], xywh[:, 2:], sizes[:, ::-1] + MARGIN
    share = float((near + far > limits).any(axis=1).mean()) if len(near) else 0.0
    return share > (0 if len(near) >= FEW else 0.5) and bool(((far > near) & (far <= limits)).all())


def misread(index: AnnotationIndex) -> str | None:
    """What is absurd of nearly all boxes of a split, which no one has drawn so: they are under 2 pixels on both sides,
    or wholly outside their images."""
    count = len(index.xywh)
    _, _, outside = box_flaws(index)
    for what, wrong in (("under 2 pixels", (index.xywh[:, 2:] < SPECK).all(axis=1)), ("wholly outside", outside)):
        if count >= FEW and wrong.mean() > NEARLY_ALL:
            return f"{int(wrong.sum())} of {counted(count, 'box')} are {what}"
    return None


def _raise_first(index: AnnotationIndex, flaws: dict[str, dict[int, str]]) -> None:
    """Raise InputError about the first flaw, if there is any."""
    total = sum(map(len, flaws.values()))
    for rule, found in flaws.items():
        for row, complaint in found.items():
            more = f" (and {total - 1} more flaws)" if total > 1 else ""
            cure = "add it, give the right image folder" if rule == "image missing" else "correct it"
            raise InputError(
                f"{index.source}: {name_item(index, rule, row)} {complaint}{more}; "
                f"{cure}, or skip flawed items with --dataset.invalid skip"
            )


def _report(index: AnnotationIndex, flaws: dict[str, dict[int, str]], outside: int) -> list[str]:
    lines = []
    for rule, found in flaws.items():
        if found:
            row, complaint = next(iter(found.items()))
            done = "left out"
            if rule == "box outside":
                done = f"{outside} left out as wholly outside, {len(found) - outside} kept to be clipped"
            lines.append(f"{rule}: {len(found)}, {done}; the first: {name_item(index, rule, row)} {complaint}")
    return lines


def name_item(index: AnnotationIndex, rule: str, row: int) -> str:
    """The item in a row of images or of annotations, whichever the rule is about, as a person would look for it."""
    if rule.startswith("image"):
        return f"image {index.file_names[row].decode()}"
    image = index.file_names[image_of(index, row)].decode()
    return f"image {image}: annotation {index.annotation_ids[row]} ({index.class_names[index.labels[row]]})"


def image_of(index: AnnotationIndex, row: int) -> int:
    """The row of the image that annotation `row` belongs to."""
    return int(np.searchsorted(index.offsets, row, side="right")) - 1


def _box(index: AnnotationIndex, row: int) -> str:
    return "x {:g}, y {:g}, width {:g}, height {:g}".format(*index.xywh[row])


def _size(index: AnnotationIndex, row: int) -> str:
    height, width = index.sizes[image_of(index, row)]
    return f"{width}x{height}"
