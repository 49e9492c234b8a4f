"""Annotation files that are JSON: which tool wrote one, and its objects; one function each for what they share."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.files.documents import load_bytes

HEAD = 1 << 20
"""bytes; of a larger file only the beginning and the end are looked at to tell what it is"""
_COCO = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')


def load_json(path: Path) -> Any:
    """Raises InputError where the file cannot be read or is no JSON."""
    try:
        return json.loads(load_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); write it again, it may be cut off") from error


def json_kind(path: Path) -> str:
    """The format of a JSON file; "" where it is empty or cannot be read, "other" where it is of none that is known."""
    try:
        if os.stat(path).st_size > 8 * HEAD:
            with path.open("rb") as file:
                head = file.read(HEAD)
                file.seek(-HEAD, 2)
                if _COCO.search(head) or _COCO.search(file.read()):
                    return "coco"
        data = load_json(path)
    except (InputError, OSError):
        return ""
    return _kind_of_object(data) if isinstance(data, dict) else _kind_of_list(data)


def _kind_of_object(data: dict[str, Any]) -> str:
    kinds = {
        "labelme": "shapes" in data and ("imagePath" in data or "imageHeight" in data),
        "coco": isinstance(data.get("images"), list) or isinstance(data.get("annotations"), list),
        "datumaro": isinstance(data.get("items"), list) and isinstance(data.get("categories"), dict),
        "supervisely": isinstance(data.get("objects"), list) and isinstance(data.get("size"), dict),
        "via": "_via_img_metadata" in data or _has_regions(data),
        "other": bool(data),
    }
    return next((kind for kind, fits in kinds.items() if fits), "")


def _has_regions(data: dict[str, Any]) -> bool:
    first = next(iter(data.values()), None)
    return isinstance(first, dict) and "regions" in first and "filename" in first


def _kind_of_list(data: Any) -> str:
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    if isinstance(first.get("annotations"), list) and isinstance(first.get("image", first.get("imagefilename")), str):
        return "createml"
    if isinstance(first.get("data"), dict) or ("image" in first and ("label" in first or "annotation_id" in first)):
        return "labelstudio"
    return "other" if data else ""


def parts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, or none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def fields(value: Any) -> dict[str, Any]:
    """An object, or an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def whole_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(height, width) where both are whole numbers of pixels."""
    sides = (height, width)
    if all(type(side) in (int, float) and 1 <= side < 2**31 and side == int(side) for side in sides):
        return int(height), int(width)
    return None


def span(points: Any, where: str) -> list[float]:
    """x1, y1, x2, y2 of a list of [x, y]; InputError where there are fewer than two, or other things."""
    if not isinstance(points, list) or len(points) < 2:
        raise InputError(f"{where}: has fewer than two points; draw it again or delete it")
    try:
        xs, ys = [float(x) for x, _ in points], [float(y) for _, y in points]
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: its points are not pairs of numbers; correct it") from None
    return [min(xs), min(ys), max(xs), max(ys)]
