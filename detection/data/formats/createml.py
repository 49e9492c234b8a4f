"""CreateML: one JSON list of images; boxes by their centre, in pixels."""

from __future__ import annotations

from detection.data.assemble import Annotated, thing
from detection.data.columns import brief
from detection.data.flaws import Report, reported
from detection.data.formats.json_files import load_json, parts
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError


def read_createml(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        for number, entry in enumerate(parts(load_json(survey.root / name)), 1):
            where = f"{survey.root / name}: image {number}"
            with reported(report):
                image = entry.get("image", entry.get("imagefilename"))
                if not isinstance(image, str):
                    raise InputError(f"{where}: its name is {brief(image)}; it must be a text")
                item = Annotated(image, name.rpartition("/")[0], f"{where} ({image[:200]})")
                for place, label in enumerate(parts(entry.get("annotations", entry.get("annotation"))), 1):
                    with reported(report):
                        box = label.get("coordinates")
                        inner = f"{item.where}: annotation {place}"
                        if not isinstance(box, dict):
                            raise InputError(f"{inner}: has no coordinates; add x, y, width and height")
                        try:
                            x, y, w, h = (float(box[key]) for key in ("x", "y", "width", "height"))
                        except (KeyError, TypeError, ValueError):
                            raise InputError(f"{inner}: coordinates must be x, y, width and height") from None
                        corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                        item.things.append(thing(label.get("label"), corners, inner, tally))
                found.append(item)
    return found
