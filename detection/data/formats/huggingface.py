"""HuggingFace's image folders: metadata.jsonl, a line an image, boxes as COCO has them."""

from __future__ import annotations

import json
from typing import Any

from detection.data.assemble import Annotated, thing
from detection.data.flaws import Report, reported
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.documents import load_text

BOXES = ("bbox", "bboxes")
CLASSES = ("categories", "category", "labels", "label", "category_id", "class", "id")


def read_huggingface(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        path = survey.root / name
        for line, text in enumerate(load_text(path, "a JSON object a line").splitlines(), 1):
            if text.strip():
                with reported(report):
                    found.append(_read_line(text, name.rpartition("/")[0], f"{path}:{line}", tally))
    return found


def _read_line(text: str, near: str, where: str, tally: Tally) -> Annotated:
    try:
        entry = json.loads(text)
        objects = entry.get("objects") or {}
        boxes: list[Any] = next((objects[key] for key in BOXES if objects.get(key)), [])
        labels: list[object] = next((objects[key] for key in CLASSES if key in objects), [])
        if not isinstance(entry["file_name"], str) or len(labels) != len(boxes):
            raise ValueError("as many boxes as categories")
        item = Annotated(entry["file_name"], near, where)
        for label, (x, y, w, h) in zip(labels, boxes, strict=True):
            item.things.append(thing(label, [x, y, x + w, y + h], where, tally))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: must have file_name and objects with bbox and categories ({error})") from error
    return item
