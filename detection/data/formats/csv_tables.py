"""Tables of boxes: the CSV of TensorFlow and Roboflow, RetinaNet, VoTT, make-sense, Open Images, Kaggle.

A row is a box; a row without one is an image without objects, and so is an image that lies beside others of the table
and has no row. Boxes are not shifted, though such tables are often made from VOC files.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path

from detection.data.assemble import Annotated, thing
from detection.data.flaws import Report, report_or_raise
from detection.data.image import EXTENSIONS
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.documents import load_head, load_text

ALIASES = {
    "file": "filename file image imageid imagename imagepath path img filepath imgname imgpath",
    "label": "class label labelname classname category categoryname name object objectclass",
    "x1": "xmin x1 left bboxxmin xtl startx",
    "y1": "ymin y1 top bboxymin ytl starty",
    "x2": "xmax x2 right bboxxmax xbr endx",
    "y2": "ymax y2 bottom bboxymax ybr endy",
    "x": "x bboxx boxx xmin left",
    "y": "y bboxy boxy ymin top",
    "w": "w bboxw bboxwidth boxwidth",
    "h": "h bboxh bboxheight boxheight",
    "box": "bbox box boundingbox",
    "width": "imagewidth imgwidth originalwidth",
    "height": "imageheight imgheight originalheight",
    "group": "isgroupof",
}
"""column -> how tables call it, in lower case and without what is no letter or digit, the likeliest first"""

_NUMBERS = re.compile(r"[^\s,;\[\]()]+")

HEADERLESS = {6: ["file", "x1", "y1", "x2", "y2", "label"], 8: ["label", "x", "y", "w", "h", "file", "width", "height"]}
"""columns of RetinaNet's and make-sense's tables, which have no header, by how many there are"""


def columns_of(first: list[str]) -> tuple[dict[str, int], bool] | None:
    """(column -> its place, whether `first`, the first row, is a header); None where it is no table of boxes."""
    order = HEADERLESS.get(len(first))
    if order is not None and os.path.splitext(first[order.index("file")].strip())[1].lower() in EXTENSIONS:
        return {name: place for place, name in enumerate(order)}, False
    plain = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in first]
    if "x0" in plain and "y0" in plain:  # corners may be numbered from 0
        plain = [{"x0": "x1", "y0": "y1", "x1": "x2", "y1": "y2"}.get(word, word) for word in plain]
    found: dict[str, int] = {}
    for name, words in ALIASES.items():
        place = next((plain.index(word) for word in words.split() if word in plain), None)
        if place is not None:
            found[name] = place
    size = {"width": "width", "height": "height"}
    if not {"x2", "y2", "box"} & set(found) and "w" not in found:
        size = {"w": "width", "h": "height"}  # beside x and y, width is the box's
    for name, word in size.items():
        if name not in found and word in plain:
            found[name] = plain.index(word)
    corners, sides = {"x1", "y1", "x2", "y2"} <= set(found), {"x", "y", "w", "h"} <= set(found)
    partial = (set() if corners else {"x1", "y1", "x2", "y2"}) | (set() if sides else {"x", "y", "w", "h"})
    found = {name: place for name, place in found.items() if name not in partial}
    return (found, True) if "file" in found and (corners or sides or "box" in found) else None


def rows_of(path: Path) -> list[list[str]]:
    """The rows of a table, whatever separates its cells."""
    lines = load_text(path, "a table").splitlines()
    first = lines[0] if lines else ""
    separator = max(",;\t", key=first.count)
    try:
        return list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); write it again") from error


def is_table(path: Path) -> bool:
    head = load_head(path, 1 << 16).decode("utf-8-sig", "replace").splitlines()
    if not head:
        return False
    separator = max(",;\t", key=head[0].count)
    return columns_of(next(csv.reader(head[:1], delimiter=separator), [])) is not None


def read_csv(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    images: dict[tuple[str, str], Annotated] = {}
    for name in files:
        _read_table(survey, name, images, report, tally)
    found = list(images.values())
    _resolve_shares(found, tally)
    return found


def _read_table(
    survey: Survey, name: str, images: dict[tuple[str, str], Annotated], report: Report | None, tally: Tally
) -> None:
    """Add the rows of a table to `images`, by folder of the table and name of the image."""
    path, near = survey.root / name, name.rpartition("/")[0]
    rows = rows_of(path)
    known = columns_of(rows[0]) if rows else None
    if known is None:
        raise InputError(f"{path}: has no columns for an image and its box; name them filename, class, xmin, ymin, ...")
    columns, headed = known
    names = _descriptions(survey)
    needed = max(place for key, place in columns.items() if key != "label")
    file, label, group = columns["file"], columns.get("label"), columns.get("group")
    for line, row in enumerate(rows[headed:], 1 + headed):
        if not row:
            continue
        where = f"{path}:{line}"
        try:
            if len(row) <= needed:
                raise InputError(f"{where}: has {len(row)} cells, fewer than the first row; correct it")
            image = row[file].strip()
            item = images.get((near, image))
            if item is None:
                item = images[near, image] = Annotated(image, near, where, _size(row, columns, where))
            corners = _corners(row, columns, where)
            if corners is not None:
                given = "object" if label is None else row[label] if label < len(row) else ""
                crowd = group is not None and row[group] == "1"
                item.things.append(thing(names.get(given, given), corners, where, tally, crowd))
        except InputError as error:
            report_or_raise(error, report)


def _size(row: list[str], columns: dict[str, int], where: str) -> tuple[int, int] | None:
    if "width" not in columns or "height" not in columns:
        return None
    texts = [row[columns[side]].strip() for side in ("height", "width")]
    if not all(texts):
        return None
    try:
        height, width = (int(float(text)) for text in texts)
    except (ValueError, OverflowError):
        raise InputError(f"{where}: the image's size is not two numbers; correct it") from None
    return (height, width) if min(height, width) > 0 and max(height, width) < 2**31 else None


def _corners(row: list[str], columns: dict[str, int], where: str) -> Sequence[object] | None:
    """x1, y1, x2, y2 as texts or numbers; None for a row without a box."""
    if "x1" in columns and "x2" in columns:
        given = row[columns["x1"]], row[columns["y1"]], row[columns["x2"]], row[columns["y2"]]
        return given if given != ("", "", "", "") else None
    texts = [row[columns[side]] for side in "xywh"] if "x" in columns else _NUMBERS.findall(row[columns["box"]])
    if not any(texts):
        return None
    try:
        x, y, w, h = map(float, texts)
    except ValueError:
        raise InputError(f"{where}: the box is {' '.join(texts)[:80]!r}; it must be four numbers") from None
    return x, y, x + w, y + h


def _resolve_shares(found: list[Annotated], tally: Tally) -> None:
    """Boxes that all lie within 0..1 are shares of their image, as Open Images has them."""
    boxes = [t.xywh for item in found for t in item.things]
    inside = all(min(box) >= 0 and box[0] + box[2] <= 1.001 and box[1] + box[3] <= 1.001 for box in boxes)
    if boxes and inside and any(value % 1 for box in boxes for value in box):
        tally.add("boxes were shares of the image: times its size", count=len(boxes))
        for item in found:
            item.shares = True


def _descriptions(survey: Survey) -> dict[str, str]:
    """Open Images' table of what its class codes, such as /m/01g317, mean."""
    for name in survey.others[".csv"]:
        if "class-descriptions" in name:
            return {row[0]: row[1] for row in rows_of(survey.root / name) if len(row) == 2}
    return {}


def unlisted(found: list[Annotated], survey: Survey, others: list[Annotated], tally: Tally) -> list[Annotated]:
    """Images that lie where those of the table lie and are in no table: they have no objects."""
    places = [match[0] for item in found if (match := survey.find(item.name, item.near))]
    known = {match[0] for item in others if (match := survey.find(item.name, item.near))} | set(places)
    more = [path for path in survey.beside({p.rpartition("/")[0] for p in places}) if path not in known]
    tally.add("images have no row in a table: they have no objects", more[0] if more else "", len(more))
    return [Annotated(path, "", path) for path in more]
