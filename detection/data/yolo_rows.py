"""The lines of YOLO's label files: boxes, outlines, turned boxes, pose rows, a confidence column.

A line is told by how many numbers follow the class: 4 are a box, 5 a box with a confidence or the number of a track, an
even count from 6 an outline (a turned box among them). Where data.yaml has a kpt_shape, rows of its length are a box
and points of a pose, which would be read wrong as an outline.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.data.columns import brief
from detection.data.flaws import Report, report_or_raise, reported
from detection.data.outline import around
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.documents import load_text
from detection.progress import track

SLACK = 0.01
"""How far outside 0..1 a coordinate may lie: more is no rounding but a file in pixels."""

Row = tuple[int, float, float, float, float]
"""class, x, y, width, height in 0..1 of the image, x and y of the top-left corner"""


def read_all(
    paths: Sequence[str | None], classes: int, pose: int, report: Report | None, tally: Tally
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) how many objects each label file has, and (M, 5) float64 all of these, as `Row`; like `read_labels` of each.

    Files of nothing but boxes, as most are, are looked through together; whatever is odd about one is left to
    `read_labels`, and so is what to say of it.
    """
    folders: dict[str, frozenset[str]] = {}
    counts = np.zeros(len(paths), dtype=np.int64)
    numbers: list[bytes] = []
    odd: list[int] = []
    for k, path in enumerate(track(paths, "reading annotations", len(paths))):
        if path is None:
            continue
        content = _plain_content(path, folders)
        rows = [fields for line in (content or b"").splitlines() if (fields := line.split())]
        if content is None or pose or any(len(fields) != 5 for fields in rows):
            odd.append(k)
            continue
        counts[k] = len(rows)
        for fields in rows:
            numbers += fields
    try:
        table = np.array(list(map(float, numbers))).reshape(-1, 5)
    except ValueError:  # some is no number: which is found one by one
        counts[:], odd, table = 0, [k for k, path in enumerate(paths) if path is not None], np.empty((0, 5))
    label, place = table[:, 0], table[:, 1:]
    sound = (label >= 0) & (label < classes) & (label % 1 == 0) & ((place >= -SLACK) & (place <= 1 + SLACK)).all(axis=1)
    owner = np.repeat(np.arange(len(paths)), counts)
    odd = sorted({*odd, *owner[~sound].tolist()})
    table[:, 1:3] -= table[:, 3:] / 2
    if not odd:
        return counts, table
    found = [table[~np.isin(owner, odd)]]
    owners = [owner[~np.isin(owner, odd)]]
    for k in odd:
        rows_of_file = read_labels(Path(str(paths[k])), classes, pose, report, tally)
        counts[k] = len(rows_of_file)
        found.append(np.array(rows_of_file, dtype=np.float64).reshape(-1, 5))
        owners.append(np.full(len(rows_of_file), k))
    order = np.argsort(np.concatenate(owners), kind="stable")
    return counts, np.concatenate(found)[order]


def _plain_content(path: str, folders: dict[str, frozenset[str]]) -> bytes | None:
    """The bytes of a label file, none where there is no file; None for a link, a pipe, or letters that are not ASCII.
    folders: the files of each folder, listed once; what is listed is added."""
    folder, name = os.path.split(path)
    if folder not in folders:
        try:
            with os.scandir(folder) as entries:
                folders[folder] = frozenset(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except OSError:
            folders[folder] = frozenset()
    if name not in folders[folder]:
        return None if os.path.lexists(path) else b""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        size = os.fstat(file).st_size
        content = os.read(file, size + 1)
    finally:
        os.close(file)
    return content if len(content) == size and content.isascii() else None


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
        raise InputError(
            f"{where}: class {fields[0][:40]} is not one of the {classes} names (0..{classes - 1}); "
            "correct it, or name the class"
        )
    if not all(math.isfinite(value) and -SLACK <= value <= 1 + SLACK for value in values[1:]):
        raise InputError(f"{where}: coordinates must lie in 0..1 of the image's sides, got {' '.join(fields[1:9])}")
    if len(values) == 5:
        _, cx, cy, w, h = values
        return int(label), cx - w / 2, cy - h / 2, w, h
    x, y, w, h = around(values[1::2], values[2::2])
    return int(label), x, y, w, h
