"""LabelMe: a JSON file beside each image, with rectangles from any corner, polygons, circles and points."""

from __future__ import annotations

import math
from typing import Any

from detection.data.assemble import Annotated, thing
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import load_json, parts, span, whole_size
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError


def read_labelme(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        path = survey.root / name
        with reported(report):
            data = load_json(path)
            if not isinstance(data, dict) or "shapes" not in data:
                raise InputError(f"{path}: has no shapes; it is not a LabelMe file")
            stem, given = name[: -len(".json")], data.get("imagePath")
            near = name.rpartition("/")[0]
            own = survey.find(stem.rpartition("/")[2], near)
            image = own[0] if own else given if isinstance(given, str) else stem
            size = whole_size(data.get("imageHeight"), data.get("imageWidth"))
            item = Annotated(image, "" if own else near, str(path), size)
            for number, shape in enumerate(parts(data["shapes"]), 1):
                with reported(report):
                    where = f"{path}: shape {number}"
                    item.things.append(thing(shape.get("label"), _corners(shape, where), where, tally))
            found.append(item)
    return found


def _corners(shape: dict[str, Any], where: str) -> list[float]:
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    if kind in ("point", "points", "line", "linestrip"):
        raise InputError(f"{where}: a {kind} has no box; delete it or draw a rectangle")
    box = span(points, where)
    if kind == "circle":
        (cx, cy), (x, y) = points[:2]  # type: ignore[index]
        radius = math.hypot(x - cx, y - cy)
        box = [cx - radius, cy - radius, cx + radius, cy + radius]
    return box
