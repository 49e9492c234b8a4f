"""The lines of YOLO's label files: boxes, outlines, turned boxes, pose rows, a confidence column.

A line is told by how many numbers follow the class: 4 are a box, 5 a box with a confidence or the number of a track, an
even count from 6 an outline (a turned box among them). Where data.yaml has a kpt_shape, rows of its length are a box
and points of a pose, which would be read wrong as an outline.
"""

from __future__ import annotations

import math
from pathlib import Path

from detection.data.columns import brief
from detection.data.flaws import Report, report_or_raise, reported
from detection.data.outline import around
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.documents import load_text

SLACK = 0.01
"""How far outside 0..1 a coordinate may lie: more is no rounding but a file in pixels."""

Row = tuple[int, float, float, float, float]
"""class, x, y, width, height in 0..1 of the image, x and y of the top-left corner"""


def read_labels(path: Path | None, classes: int, pose: int, report: Report | None, tally: Tally) -> list[Row]:
    """The objects of a label file; none where there is no file. classes: how many there are; pose: the numbers of a
    pose that follow a box, 0 without."""
    rows: list[Row] = []
    if path is None:
        return rows
    with reported(report):
        for number, line in enumerate(_text_of(path).splitlines(), 1):
            try:
                if line.strip():
                    rows.append(_read_line(line.split(), f"{path}:{number}", classes, pose, tally))
            except InputError as error:
                report_or_raise(error, report)
    return rows


def _text_of(path: Path) -> str:
    return load_text(path, "a line an object") if path.exists() else ""


def _read_line(fields: list[str], where: str, classes: int, pose: int, tally: Tally) -> Row:
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise InputError(f"{where}: {brief(' '.join(fields))} is not all numbers; write `class cx cy w h`") from None
    given = len(values)
    posed = pose > 0 and given == 5 + pose
    if posed:
        tally.add("rows are of poses, by kpt_shape: their boxes are taken", where)
    elif given == 6 and math.isfinite(values[5]):
        tally.add("boxes have a confidence or track behind them: left out", where)
    elif given != 5 and (given < 7 or given % 2 == 0):
        raise InputError(f"{where}: {given} numbers; write `class cx cy w h`, or a class and 3 or more points")
    if posed or given == 6:
        values = values[:5]
    label = values[0]
    if label not in range(classes):
        raise InputError(f"{where}: class {fields[0][:40]} is not one of the {classes} names (0..{classes - 1})")
    if not all(math.isfinite(value) and -SLACK <= value <= 1 + SLACK for value in values[1:]):
        raise InputError(f"{where}: coordinates must lie in 0..1 of the image's sides, got {' '.join(fields[1:9])}")
    if len(values) == 5:
        _, cx, cy, w, h = values
        return int(label), cx - w / 2, cy - h / 2, w, h
    x, y, w, h = around(values[1::2], values[2::2])
    return int(label), x, y, w, h
