"""Supervisely: ann/<image>.json beside img/<image>, with rectangles and polygons."""

from __future__ import annotations

from detection.data.assemble import Annotated, thing
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import load_json, parts, span, whole_size
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError


def read_supervisely(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        path = survey.root / name
        with reported(report):
            data = load_json(path)
            if not isinstance(data, dict) or not isinstance(data.get("size"), dict):
                raise InputError(f"{path}: has no size; it is not a Supervisely file")
            near, _, own = name[: -len(".json")].rpartition("/")
            size = whole_size(data["size"].get("height"), data["size"].get("width"))
            item = Annotated(own, near, str(path), size)
            for number, entry in enumerate(parts(data.get("objects")), 1):
                with reported(report):
                    where = f"{path}: object {number}"
                    points = entry.get("points")
                    if entry.get("geometryType") not in ("rectangle", "polygon") or not isinstance(points, dict):
                        raise InputError(f"{where}: is neither a rectangle nor a polygon; delete it or draw one")
                    item.things.append(
                        thing(entry.get("classTitle"), span(points.get("exterior"), where), where, tally)
                    )
            found.append(item)
    return found
