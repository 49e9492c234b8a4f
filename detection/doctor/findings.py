"""What an examination finds: rules, how bad a breach of each is, and the items that break them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from detection.data.check import image_of, name_item
from detection.data.index import AnnotationIndex

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Rule:
    """title: what the items are; cure: how to fix them; mended: what a cleaned copy does about them, None where only a
    person can tell what is right."""

    severity: Severity
    title: str
    cure: str
    mended: str | None = None


RULES = {
    "structure": Rule("error", "items that cannot be read", "correct the file", "left out"),
    "empty split": Rule("error", "splits without images or objects", "add some, or remove the split"),
    "classes differ": Rule(
        "error",
        "splits with objects of classes that the training split lacks",
        "use one list of classes",
        "one list for all",
    ),
    "image missing": Rule("error", "images that are not there", "add them, or give --images", "left out"),
    "image unreadable": Rule("error", "broken images", "replace the files", "left out"),
    "image size": Rule(
        "error", "images of another size than annotated", "annotate the image that is there", "left out"
    ),
    "empty box": Rule("error", "empty boxes, often stray clicks", "draw them again or delete them", "left out"),
    "corners": Rule("error", "splits whose boxes are corners, x1 y1 x2 y2", "write x y width height, as COCO has it"),
    "misread": Rule("error", "splits of which nearly all boxes are implausible", "check what the files mean"),
    "box outside": Rule("error", "boxes that stick out of their image", "correct them", "cut off at the edge"),
    "shared image": Rule(
        "warning",
        "images that are in two splits, so that test images are trained on",
        "keep each in one split",
        "kept in the test or validation split only",
    ),
    "similar split": Rule(
        "warning",
        "images nearly the same as one of another split (frames of a video, copies at another size)",
        "split by scene, not by image",
        "kept in the test or validation split only",
    ),
    "copy differs": Rule(
        "warning", "copies of an image with other annotations", "keep the right one", "the one with most objects kept"
    ),
    "copy": Rule("warning", "copies of an image in the same split", "delete all but one", "one kept"),
    "duplicate box": Rule(
        "warning", "boxes drawn twice (same class, IoU of .9 or more)", "delete one of each pair", "the first kept"
    ),
    "class names": Rule(
        "warning",
        "classes whose names differ by case, space or hyphen only",
        "use one spelling",
        "united under the commonest",
    ),
    "class untrained": Rule(
        "warning", "classes that are tested but have no object to learn from", "add training objects", "left out"
    ),
    "reading": Rule(
        "note",
        "how the files were read: what was found, and what has one sensible meaning though it is written otherwise",
        "fine if each line says what you meant; otherwise correct the files",
    ),
    "doubted label": Rule(
        "note",
        "labels that the detector of --model contradicts, the surest first",
        "look at each: the detector may be wrong, above all about images it was not trained on",
    ),
    "double class": Rule(
        "note", "pairs of boxes on one object (IoU above .9) with different classes", "decide which class is right"
    ),
    "similar image": Rule(
        "note",
        "images nearly the same as another of their split",
        "expected of video frames; otherwise delete the copies",
    ),
    "dark image": Rule(
        "warning",
        "16-bit images whose values fill less than a quarter of the range, and so look nearly black",
        "train and predict with --input.grey_bits and --grey-bits of the bits that they take",
    ),
    "crowded image": Rule(
        "note",
        "images of more than 100 objects, the most that a detector finds by default and that COCO's AP counts",
        "train with a larger --model.roi.detections; AP stays below 1 whatever is found",
    ),
    "odd size": Rule(
        "note", "boxes far larger or smaller than others of their class", "check them: the class may be wrong"
    ),
    "odd shape": Rule(
        "note", "boxes far wider or taller than others of their class", "check them: they may be drawn by mistake"
    ),
    "extreme shape": Rule(
        "note", "boxes more than 20 times as long as wide", "check them: they may be drawn by mistake"
    ),
    "tiny box": Rule("note", "boxes under 4 pixels on a side as the network sees them", "train at a larger size"),
    "whole image": Rule(
        "note", "boxes over the whole image", "fine for pictures of one object; otherwise draw them again"
    ),
    "no objects": Rule("note", "images without objects", "fine if nothing is there; otherwise annotate them"),
    "class unused": Rule("note", "classes without any object in a split", "remove them, or add objects"),
    "class rare": Rule(
        "note", "classes with fewer than 10 training objects", "add objects; with so few, AP is mostly chance"
    ),
    "imbalance": Rule(
        "note", "classes with under a fiftieth of the commonest class's objects", "add objects of these classes"
    ),
}
"""In the order of importance."""


@dataclass(frozen=True)
class Item:
    """One breach. image, boxes: file name, and (n, 4) x y width height in its pixels, to show it by; annotation: the
    dataset's own id; row, boxes_rows: where it stands in the index, for mending."""

    split: str
    text: str
    image: str | None = None
    annotation: int | None = None
    row: int | None = None
    boxes: tuple[tuple[float, ...], ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A rule and what breaks it."""

    rule: str
    items: list[Item] = field(default_factory=list)

    @property
    def severity(self) -> Severity:
        return RULES[self.rule].severity


def grouped(items: Sequence[tuple[str, Item]]) -> list[Finding]:
    """Findings in the order of RULES, from (rule, item) pairs."""
    return [Finding(rule, found) for rule in RULES if (found := [item for name, item in items if name == rule])]


def image_item(split: str, index: AnnotationIndex, row: int, text: str) -> Item:
    """An item that is image `row`, with all its boxes."""
    rows = index.rows(row)
    return Item(
        split,
        f"{name_item(index, 'image', row)} {text}",
        index.file_names[row].decode(),
        row=row,
        boxes=tuple(map(tuple, index.xywh[rows].tolist())),
        labels=tuple(index.labels[rows].tolist()),
    )


def box_item(split: str, index: AnnotationIndex, row: int, text: str, other: int | None = None) -> Item:
    """An item that is annotation `row`, shown with annotation `other`."""
    rows = np.array([row] if other is None else [row, other])
    place = "[x {:g}, y {:g}, {:g} by {:g}]".format(*index.xywh[row].round(1))
    return Item(
        split,
        f"{name_item(index, 'box', row)} {text} {place}",
        index.file_names[image_of(index, row)].decode(),
        int(index.annotation_ids[row]),
        row,
        tuple(map(tuple, index.xywh[rows].tolist())),
        tuple(index.labels[rows].tolist()),
    )
