"""One XML file of PASCAL VOC, as the devkit, labelImg and the exports of other tools write it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detection.data.columns import FARTHEST, brief
from detection.data.flaws import Report, reported
from detection.data.names import unshowable
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.documents import load_bytes

LARGEST = 64 << 20
"""bytes of one image's XML"""

FROM_ONE = "PASCAL VOC, pixels from 1"
"""what `write_voc` says in <source><annotation>: its fractions do not mean that pixels count from 0"""

YES, NO = ("1", "true", "yes"), ("0", "false", "no", "", "unspecified", "none")
SIDES = ("xmin", "ymin", "xmax", "ymax")
_COUNTS_FROM_ZERO = re.compile(rb"<(?:\w+:)?[xy]m(?:in|ax)>\s*(?:0+\s*<|[^<]*\.)")
_MARK = re.compile(rb"<annotation>\s*PASCAL VOC")


class VocObject(NamedTuple):
    """corners: xmin, ymin, xmax, ymax as written, in the right order."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass
class VocFile:
    """size: (height, width), None where it is absent or a side is 0; zero: the latter as written; filename: what the
    file says, often an old name; from_zero: whether a coordinate is 0 or a fraction, which no file has that counts
    pixels from 1."""

    size: tuple[int, int] | None
    zero: str
    filename: str
    objects: list[VocObject] = field(default_factory=list)
    from_zero: bool = False
    devkit: bool = False
    """whether it says that it counts as the devkit does, which has a few fractions"""


def load_xml(path: Path) -> Element:
    """The root of an XML file, names without their namespaces. Raises InputError where it is none, or too large."""
    content = load_bytes(path)
    if len(content) > LARGEST:
        raise InputError(f"{path}: is larger than {LARGEST >> 20} MiB; it must hold the objects of one image")
    try:
        tree = _parse(content)
    # ValueError and LookupError: an encoding that the file declares and Python does not know
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InputError(f"{path}: not a plain XML file ({error}); write it again") from error
    if b"xmlns" in content:
        for item in tree.iter():
            item.tag = item.tag.rpartition("}")[2]
    return tree


def _parse(content: bytes) -> Element:
    """With two more chances: an encoding that Python knows and the parser does not; and, where all class names are
    plain ASCII, an undeclared one, which then touches only paths and comments."""
    try:
        return fromstring(content)
    except (ElementTree.ParseError, ValueError):
        declared = re.match(rb"""\s*<\?xml[^>]*encoding=["']([\w.-]+)["'][^>]*\?>""", content)
        if declared:
            return fromstring(content[declared.end() :].decode(declared[1].decode()))
        if any(not item.isascii() for item in re.findall(rb"<object>.*?</object>", content, re.DOTALL)):
            raise
        return fromstring(content.decode("latin-1"))


def counts_from_zero(path: Path) -> bool | None:
    """Whether a file that is not read whole shows it, by `VocFile.from_zero`; None where it follows the devkit."""
    content = load_bytes(path)
    if _MARK.search(content):
        return None
    return _COUNTS_FROM_ZERO.search(content) is not None


def read_xml(path: Path, report: Report | None, tally: Tally) -> VocFile:
    """One file. Raises InputError where it is none of VOC; an object that is wrong is told to `report` where there is
    one, and left out."""
    tree = load_xml(path)
    if tree.tag.lower() != "annotation":
        raise InputError(f"{path}: its root is <{tree.tag[:40]}>, not <annotation>; it is not a PASCAL VOC file")
    mark = (tree.findtext("source/annotation") or "").strip()
    size, zero = _size(tree, path)
    filename = (tree.findtext("filename") or "").strip()
    found = VocFile(size, zero, filename, devkit=mark.startswith("PASCAL VOC"))
    for number, item in enumerate(tree.findall("object"), 1):
        with reported(report):
            thing, shows_zero = _read_object(item, f"{path}: object {number}", tally, found.devkit)
            found.objects.append(thing)
            found.from_zero |= shows_zero and mark != FROM_ONE
    return found


def _size(tree: Element, path: Path) -> tuple[tuple[int, int] | None, str]:
    """(height, width), None where the file does not say or a side is 0, which is then given in words."""
    if not (tree.findtext("size/width") or "").strip() or not (tree.findtext("size/height") or "").strip():
        return None, ""
    height, width = (_number(tree, f"size/{side}", f"{path}") for side in ("height", "width"))
    if height == 0 or width == 0:
        return None, f"{width:g}x{height:g}"
    if min(height, width) < 1 or max(height, width) >= 2**31 or height % 1 or width % 1:
        raise InputError(f"{path}: <size> is {width:g}x{height:g}; it must be whole pixels, 1 or more")
    return (int(height), int(width)), ""


def _read_object(item: Element, where: str, tally: Tally, devkit: bool) -> tuple[VocObject, bool]:
    """The object, and whether its box shows that pixels count from 0."""
    name = (item.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where}: has no <name>; add the class name")
    if unshowable(name):
        raise InputError(f"{where}: its <name> has control characters; rename the class")
    where = f"{where} ({name})"
    boxes = item.findall("bndbox")
    if len(boxes) > 1:
        raise InputError(f"{where}: has more than one <bndbox>; which is meant cannot be known, delete the others")
    texts = [boxes[0].findtext(side) for side in SIDES] if boxes else [None] * 4
    turned = None if boxes else _turned(item, where)
    x1, y1, x2, y2 = turned or (_value(t, f"bndbox/{side}", where) for t, side in zip(texts, SIDES, strict=True))
    shows_zero = 0 in (x1, y1, x2, y2) or (not devkit and any(text and "." in text for text in texts))
    if x1 > x2 or y1 > y2:
        tally.add("boxes had their corners in the wrong order: sorted", where)
    word = (item.findtext("difficult") or "").strip().lower()
    if word not in YES and word not in NO:
        raise InputError(f"{where}: <difficult> is {word!r}; it must be 0 or 1")
    if word not in ("0", "1", ""):
        tally.add("<difficult> were words: true and yes are difficult", where)
    corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    return VocObject(name, corners, word in YES), shows_zero


def _turned(item: Element, where: str) -> list[float] | None:
    """The extent of roLabelImg's <robndbox>, turned by an angle in radians; None where there is none."""
    if item.find("robndbox") is None:
        return None
    cx, cy, w, h, angle = (_number(item, f"robndbox/{key}", where) for key in ("cx", "cy", "w", "h", "angle"))
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    across, down = (w * cos + h * sin) / 2, (w * sin + h * cos) / 2
    return [cx - across, cy - down, cx + across, cy + down]


def _number(item: Element, tag: str, where: str) -> float:
    return _value(item.findtext(tag), tag, where)


def _value(text: str | None, tag: str, where: str) -> float:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    if not abs(value) < FARTHEST:
        given = "is missing" if text is None else f"is {brief(text.strip())}"
        raise InputError(f"{where}: <{tag}> {given}; it must be a number of pixels")
    return value
