"""Label Studio's JSON and JSON-MIN: boxes in hundredths of the image, that may be turned around their corner."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import unquote

from detection.data.assemble import Annotated, thing
from detection.data.columns import brief
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import fields, load_json, parts, span, whole_size
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError

LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")


def read_label_studio(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        for number, task in enumerate(parts(load_json(survey.root / name)), 1):
            where = f"{survey.root / name}: task {task.get('id', number)}"
            with reported(report):
                found.append(_read_task(task, survey, name.rpartition("/")[0], where, report, tally))
    return found


def _read_task(
    task: dict[str, Any], survey: Survey, near: str, where: str, report: Report | None, tally: Tally
) -> Annotated:
    data = fields(task.get("data", task))
    image = next((v for k in ("image", "img", "url") if isinstance(v := data.get(k), str)), None)
    if image is None:
        image = next((v for v in data.values() if isinstance(v, str) and "." in v), None)
    if image is None:
        raise InputError(f'{where}: has no "image"; export it again')
    results = _results(task, where)
    item = Annotated(_uploaded(image, survey, near), near, where)
    for place, result in enumerate(results, 1):
        inner = f"{where}: region {place}"
        value = fields(result.get("value", result))
        labels = next((value[key] for key in LABELS if isinstance(value.get(key), list)), None)
        if labels is None:
            continue  # a choice, a text or a relation
        with reported(report):
            if len(labels) != 1:
                raise InputError(f"{inner}: has the labels {brief(labels)}; one object has one class")
            size = whole_size(result.get("original_height"), result.get("original_width"))
            item.size = item.size or size
            found = thing(labels[0], _corners(value, item.size, inner), inner, tally)
            x, y, w, h = (number / 100 for number in found.xywh)
            item.things.append(found._replace(xywh=(x, y, w, h)))
    item.shares = True
    return item


def _results(task: dict[str, Any], where: str) -> list[dict[str, Any]]:
    if "data" not in task:
        return parts(task.get("label"))
    valid = [a for a in parts(task.get("annotations", task.get("completions"))) if not a.get("was_cancelled")]
    if len(valid) > 1:
        raise InputError(f"{where}: has {len(valid)} annotations, by several people; keep the one that counts")
    return parts(valid[0].get("result")) if valid else []


def _uploaded(image: str, survey: Survey, near: str) -> str:
    """The image's own name: uploads get eight letters before it, local files are named behind ?d=."""
    name = unquote(image.partition("?d=")[2] or image)
    base = name.rpartition("/")[2]
    if survey.find(name, near) is None:
        return re.sub(r"^[0-9a-f]{8}-", "", base)
    return name


def _corners(value: dict[str, Any], size: tuple[int, int] | None, where: str) -> list[float]:
    """x1, y1, x2, y2 in hundredths."""
    if "points" in value:
        return span(value["points"], where)
    try:
        if "radiusX" in value:
            cx, cy, rx, ry = (float(value[key]) for key in ("x", "y", "radiusX", "radiusY"))
            return [cx - rx, cy - ry, cx + rx, cy + ry]
        x, y, w, h = (float(value[key]) for key in ("x", "y", "width", "height"))
        angle = math.radians(float(value.get("rotation") or 0))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where}: lacks x, y, width or height; draw it again") from None
    if not angle:
        return [x, y, x + w, y + h]
    height, width = size or (1, 1)
    cos, sin, aspect = math.cos(angle), math.sin(angle), height / width  # pixels are square, hundredths are not
    points = [[x + a * cos - b * sin * aspect, y + a * sin / aspect + b * cos] for a in (0, w) for b in (0, h)]
    return span(points, where)
