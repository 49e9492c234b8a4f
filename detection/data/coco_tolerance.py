"""What of a COCO file has one sensible meaning though it is written otherwise.

`soften` is called only once the strict reading of `coco.py` has met a flaw, so a file as it should be costs nothing. It
changes the items in place and counts what it changed; what it leaves is judged by the strict reading again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.coco_json import load_coco_json
from detection.data.coco_places import Places, guess_image_folder
from detection.data.columns import Item
from detection.data.image import image_size
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root
from detection.data.outline import extent
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError

FAR_ABOVE = 2.0
"""times the box's own that an area is implausible: no mask is larger than its box but for rounding"""
SHARE_SLACK = 1e-3
"""how far a box in shares of the image may reach over its edge by rounding"""


def soften(data: dict[str, Any], path: Path, places: Places, tally: Tally) -> None:
    """Mend the items of the file `path`; places: where its images may lie."""
    images, rows, categories = (list(_items(data, key)) for key in ("images", "annotations", "categories"))
    _ids(images, rows, "image_id", "image", tally)
    _ids(categories, rows, "category_id", "category", tally)
    _own_ids(rows, tally)
    if any(not row.get("bbox") for row in rows):
        _boxes_of_outlines(data, rows, path, tally)
    for row in rows:
        _numbers(row, tally)
    names = [image.get("file_name") for image in images]
    near = places.near(guess_image_folder(path, names))
    for image in images:
        _name_and_size(image, places.survey, near, tally)


def _items(data: dict[str, Any], key: str) -> Iterator[Item]:
    section = data.get(key)
    return (item for item in section if type(item) is dict) if isinstance(section, list) else iter(())


def whole(value: Any) -> Any:
    """An id as a whole number where it is one, written as 7, 7.0, "7" or "7.0"; else as it is."""
    if type(value) is str:
        text = value.strip()
        if text.removesuffix(".0").isdecimal() and text.isascii():
            return int(text.removesuffix(".0"))
        return text
    if type(value) is float and math.isfinite(value) and value == math.floor(value):
        return int(value)
    return value


def _ids(items: list[Item], rows: list[Item], key: str, what: str, tally: Tally) -> None:
    """Ids as whole numbers; where some are texts that are none, or two would be one number, they are numbered."""
    ids = [item.get("id") for item in items]
    if not all(type(value) in (int, float, str) for value in ids):
        return
    spelled = [whole(value) for value in ids]
    if any(type(value) is str for value in spelled) or len(set(spelled)) < len(set(map(str, ids))):
        spelled = [str(value).strip() for value in ids]
        number = {value: k for k, value in enumerate(dict.fromkeys(spelled), 1)}
        meant: Callable[[Any], Any] = lambda value: number.get(str(value).strip(), value)  # noqa: E731
        words = f"{what} ids were texts: numbered in the order of the file"
    else:
        meant, words = whole, f"{what} ids were written as texts or fractions: read as whole numbers"
    for item, name in [(item, "id") for item in items] + [(row, key) for row in rows]:
        value = item.get(name)
        if type(value) in (int, float, str):
            new = meant(value)
            tally.add(words, count=int(type(new) is not type(value)))
            item[name] = new


def _own_ids(rows: list[Item], tally: Tally) -> None:
    """Ids of annotations, to which nothing refers: those that are missing or texts get numbers that none has."""
    for row in rows:
        if "id" in row:
            row["id"] = whole(row["id"])
    free = max((row["id"] for row in rows if type(row.get("id")) is int), default=0) + 1
    for row in rows:
        if row.get("id") is None or type(row["id"]) is str:
            row["id"], free = free, free + 1
            tally.add("annotation ids were missing or texts: numbered")


def _boxes_of_outlines(data: dict[str, Any], rows: list[Item], path: Path, tally: Tally) -> None:
    """Boxes that are absent become the extent of the polygon or mask, for which the file is read once more, whole."""
    outlines = [row.get("segmentation") for row in _items(load_coco_json(path, whole=True), "annotations")]
    if len(outlines) != len(rows):
        return
    for row, outline in zip(rows, outlines, strict=True):
        box = extent(outline) if not row.get("bbox") else None
        if box is not None:
            row["bbox"] = box
            tally.add("boxes were missing: the extent of their outline or mask", f"annotation {row.get('id')}")


def _numbers(row: Item, tally: Tally) -> None:
    where = f"annotation {row.get('id')}"
    box = row.get("bbox")
    if isinstance(box, list) and any(type(value) is str for value in box):
        values = [number(value) for value in box]
        if all(type(value) in (int, float) for value in values):
            row["bbox"] = values
            tally.add("boxes were written as texts: read as numbers", where)
    if "area" in row:
        area = number(row["area"])
        if isinstance(area, float) and math.isnan(area):
            del row["area"]
            tally.add("areas were not a number: width times height", where)
        elif area is not row["area"]:
            row["area"] = area
            tally.add("areas were written as texts: read as numbers", where)
    crowd = number(row.get("iscrowd", 0))
    if crowd is None or (type(crowd) is float and crowd in (0.0, 1.0)):
        crowd = int(crowd or 0)
    if "iscrowd" in row and crowd is not row["iscrowd"]:
        row["iscrowd"] = crowd
        tally.add("iscrowd were written as texts, fractions or null: read as 0 or 1", where)


def number(value: Any) -> Any:
    """A text as the number that it is; anything else as it is."""
    if type(value) is not str:
        return value
    try:
        return int(value) if value.strip().isdecimal() else float(value)
    except ValueError:
        return value


def _name_and_size(image: Item, survey: Callable[[], Survey], near: str, tally: Tally) -> None:
    name = image.get("file_name")
    if type(name) is not str:
        return
    found = None
    if leaves_root(name):
        found = survey().find(name, near)
        if found is not None:
            image["file_name"] = found[0]
            tally.add("image paths are of another machine: found by name", name[:200])
    for side in ("height", "width"):
        if side in image:
            image[side] = number(image[side])
    if all(type(image.get(side)) in (int, float) and image[side] != 0 for side in ("height", "width")):
        return
    found = found or survey().find(name, near)
    if found is not None:
        try:
            image["height"], image["width"] = image_size(survey().root / found[0])
        except InputError:
            return  # the strict reading says that the size is missing
        tally.add("sizes were missing or zero: read from the images", name[:200])


def drop_headings(data: dict[str, Any], others: Sequence[Path], tally: Tally) -> None:
    """Leave out categories that are headings: no annotation of any split is of one, and another category names it as
    its supercategory. Where each class is its own supercategory, all are classes. others: files of the other splits."""
    categories = list(_items(data, "categories"))
    above: dict[Any, set[int]] = {}
    for place, item in enumerate(categories):
        if type(item.get("supercategory")) is str:
            above.setdefault(item["supercategory"], set()).add(place)
    headings = [
        item
        for place, item in enumerate(categories)
        if type(item.get("name")) is str and above.get(item["name"], set()) - {place}
    ]
    headings = [item for item in headings if not _used(data, item)]
    for path in others:
        if headings:
            try:
                other = load_coco_json(path)
            except InputError:
                continue
            headings = [item for item in headings if not _used(other, item)]
    if headings and len(headings) < len(categories):
        gone = {id(item) for item in headings}
        data["categories"] = [item for item in data["categories"] if id(item) not in gone]
        names = ", ".join(repr(item["name"][:80]) for item in headings)
        tally.say(f"{names}: a heading of other categories that no annotation is of, so no class")


def _used(data: dict[str, Any], heading: Item) -> bool:
    number = whole(heading.get("id"))
    return any(whole(row.get("category_id")) == number for row in _items(data, "annotations"))


def as_pixels(index: AnnotationIndex, tally: Tally) -> tuple[np.ndarray, np.ndarray]:
    """(boxes, areas) of an index in pixels, where all its boxes are shares of their image, as Azure writes them: read
    as pixels each would lie in the first one."""
    near, far = index.xywh[:, :2], index.xywh[:, :2] + index.xywh[:, 2:]
    sound = len(near) and near.min() >= 0 and (far > near).all()
    if not sound or far.max() > 1 + SHARE_SLACK or not (index.xywh % 1).any():
        return index.xywh, index.areas
    sizes = np.repeat(index.sizes, np.diff(index.offsets), axis=0)[:, ::-1]
    xywh = index.xywh * np.tile(sizes, 2)
    tally.add("boxes were shares of the image: times its size", count=len(xywh))
    whole_images = sizes.prod(axis=1)
    return xywh, np.where(index.areas > 0, index.areas * whole_images, xywh[:, 2] * xywh[:, 3])


def plausible_areas(index: AnnotationIndex, tally: Tally) -> np.ndarray:
    """The areas of an index. Those below zero, which evaluation would take for no object, become width times height,
    and so do all where every one is zero; those far above their box's are kept as written, and told."""
    own = index.xywh[:, 2] * index.xywh[:, 3]
    sound: np.ndarray = np.asarray((index.xywh[:, 2:] > 0).all(axis=1))

    def first(wrong: np.ndarray) -> str:
        return f"annotation {index.annotation_ids[int(np.argmax(wrong))]}" if wrong.any() else ""

    below = sound & (index.areas < 0)
    tally.add("areas were below zero: width times height", first(below), int(below.sum()))
    if len(own) > 1 and not index.areas.any() and sound.any():
        tally.add("areas were all zero: width times height", count=len(own))
        below = sound
    above = sound & (index.areas > FAR_ABOVE * np.maximum(own, 1))
    words = f"areas are over {FAR_ABOVE:g} times their box's: kept, though they decide which objects count as large"
    tally.add(words, first(above), int(above.sum()))
    return np.where(below, own, index.areas)
