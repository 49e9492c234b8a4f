"""CVAT for images 1.1: one XML of images with boxes, polygons, masks and ellipses."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from detection.data.assemble import Annotated, thing
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import span
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.data.voc_xml import load_xml
from detection.errors import InputError


def read_cvat(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        path = survey.root / name
        tree = load_xml(path)
        images = tree.findall("image")
        if tree.find("track") is not None:
            raise InputError(f"{path}: holds tracks of a video; export it from CVAT as `CVAT for images`")
        for image in images:
            where = f"{path} ({image.get('name', '')[:200]})"
            with reported(report):
                size = _size(image)
                item = Annotated(image.get("name", ""), name.rpartition("/")[0], where, size)
                for number, shape in enumerate(image, 1):
                    if shape.tag in ("tag", "points", "skeleton", "polyline"):
                        tally.add(f"<{shape.tag}> have no box: left out", where)
                        continue
                    with reported(report):
                        inner = f"{where}: <{shape.tag[:40]}> {number}"
                        item.things.append(thing(shape.get("label"), _corners(shape, inner), inner, tally))
                found.append(item)
    return found


def _size(image: Element) -> tuple[int, int] | None:
    height, width = image.get("height", ""), image.get("width", "")
    return (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None


def _corners(shape: Element, where: str) -> list[float]:
    def number(key: str) -> float:
        return float(shape.get(key, "nan"))

    try:
        if shape.tag == "box":
            return _turned([number(key) for key in ("xtl", "ytl", "xbr", "ybr")], float(shape.get("rotation", 0)))
        if shape.tag == "polygon":
            return span([pair.split(",") for pair in shape.get("points", "").split(";")], where)
        if shape.tag == "mask":
            left, top = number("left"), number("top")
            return [left, top, left + number("width"), top + number("height")]
        if shape.tag == "ellipse":
            cx, cy, rx, ry = (number(key) for key in ("cx", "cy", "rx", "ry"))
            return [cx - rx, cy - ry, cx + rx, cy + ry]
    except ValueError:
        raise InputError(f"{where}: its numbers cannot be read; export it again") from None
    raise InputError(f"{where}: has no box; delete it")


def _turned(box: list[float], degrees: float) -> list[float]:
    """The extent of a box that is turned around its centre."""
    if not degrees:
        return box
    x1, y1, x2, y2 = box
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    w, h = (x2 - x1) * cos + (y2 - y1) * sin, (x2 - x1) * sin + (y2 - y1) * cos
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
