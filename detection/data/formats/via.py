"""VGG Image Annotator (VIA) 1 and 2: one JSON of images with regions, as a project or as exported annotations."""

from __future__ import annotations

from typing import Any

from detection.data.assemble import Annotated, thing
from detection.data.columns import brief
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import fields, load_json, parts, span
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError

USUAL = ("class", "label", "name", "category", "type", "object")
"""attributes that hold the class where a region has several"""


def read_via(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        data = fields(load_json(survey.root / name))
        for entry in parts(list(fields(data.get("_via_img_metadata", data)).values())):
            with reported(report):
                image = entry.get("filename")
                if not isinstance(image, str):
                    raise InputError(f"{survey.root / name}: an image's filename is {brief(image)}; it must be a text")
                item = Annotated(image, name.rpartition("/")[0], f"{survey.root / name} ({image[:200]})")
                regions = entry.get("regions") or []
                regions = list(regions.values()) if isinstance(regions, dict) else regions
                for number, region in enumerate(parts(regions), 1):
                    with reported(report):
                        where = f"{item.where}: region {number}"
                        label = _label(region.get("region_attributes"), where)
                        if label == "object":
                            tally.add("regions have no attribute: taken as class 'object'", where)
                        item.things.append(thing(label, _corners(region, where), where, tally))
                found.append(item)
    return found


def _label(attributes: Any, where: str) -> Any:
    given = {key: value for key, value in fields(attributes).items() if value not in ("", None, {})}
    if not given:
        return "object"
    key = next(
        (k for word in USUAL for k in given if k.lower() == word), next(iter(given)) if len(given) == 1 else None
    )
    if key is None:
        raise InputError(
            f"{where}: has the attributes {', '.join(given)[:200]}; call the one that is the class `class`"
        )
    value = given[key]
    if isinstance(value, dict):  # a checkbox: {"cat": true}
        chosen = [name for name, on in value.items() if on]
        if len(chosen) != 1:
            raise InputError(f"{where}: {key!r} has {len(chosen)} values; choose one class")
        return chosen[0]
    return value


def _corners(region: dict[str, Any], where: str) -> list[float]:
    shape = fields(region.get("shape_attributes"))
    kind = shape.get("name")
    try:
        if kind == "rect":
            x, y, w, h = (float(shape[key]) for key in ("x", "y", "width", "height"))
            return [x, y, x + w, y + h]
        if kind in ("circle", "ellipse"):
            cx, cy = float(shape["cx"]), float(shape["cy"])
            rx, ry = (float(shape[key if key in shape else "r"]) for key in ("rx", "ry"))
            return [cx - rx, cy - ry, cx + rx, cy + ry]
        if kind in ("polygon", "polyline"):
            return span([list(pair) for pair in zip(shape["all_points_x"], shape["all_points_y"])], where)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where}: its {kind} lacks numbers; draw it again") from None
    raise InputError(f"{where}: a {brief(kind)} has no box; delete it or draw a rectangle")
