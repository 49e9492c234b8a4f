"""Datumaro: annotations/<subset>.json with categories and items."""

from __future__ import annotations

from typing import Any

from detection.data.assemble import Annotated, thing
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import fields, load_json, parts, span, whole_size
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError


def read_datumaro(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        path = survey.root / name
        data = fields(load_json(path))
        labels = fields(fields(data.get("categories")).get("label"))
        names = [entry.get("name") for entry in parts(labels.get("labels"))]
        for entry in parts(data.get("items")):
            with reported(report):
                image = fields(entry.get("image"))
                size: Any = image.get("size")
                given = image.get("path") or entry.get("id")
                where = f"{path}: item {str(entry.get('id'))[:200]}"
                known = whole_size(*size) if isinstance(size, list) and len(size) == 2 else None
                item = Annotated(str(given), name.rpartition("/")[0], where, known)
                for number, label in enumerate(parts(entry.get("annotations")), 1):
                    with reported(report):
                        item.things += _things(label, names, f"{where}: annotation {number}", tally)
                found.append(item)
    return found


def _things(label: dict[str, Any], names: list[Any], where: str, tally: Tally) -> list[Any]:
    kind, number = label.get("type"), label.get("label_id")
    if kind not in ("bbox", "polygon"):
        tally.add("annotations are neither boxes nor polygons: left out", where)
        return []
    if type(number) is not int or not 0 <= number < len(names):
        raise InputError(f"{where}: its label_id is not one of the {len(names)} labels; correct it")
    if kind == "polygon":
        flat = label.get("points") or []
        corners = span([list(pair) for pair in zip(flat[0::2], flat[1::2])], where)
    else:
        box: Any = label.get("bbox")
        corners = span([box[:2], [box[0] + box[2], box[1] + box[3]]], where) if _is_box(box) else []
        if not corners:
            raise InputError(f"{where}: bbox must be [x, y, width, height]")
    return [thing(names[number], corners, where, tally)]


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
