"""WIDER FACE's text: a line with the image, one with the number of faces, then a line a face, x y w h first."""

from __future__ import annotations

from pathlib import Path

from detection.data.assemble import Annotated, Thing, thing
from detection.data.flaws import Report, reported
from detection.data.image import EXTENSIONS
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.errors import InputError
from detection.files.documents import load_text

INVALID = 7
"""place of the mark of faces that cannot be recognised, which the authors leave out"""


def is_wider(head: list[str]) -> bool:
    """Whether these first lines of a text are of WIDER FACE."""
    return (
        len(head) > 2
        and Path(head[0].strip()).suffix.lower() in EXTENSIONS
        and head[1].strip().isdecimal()
        and len(head[2].split()) >= 4
    )


def read_wider(survey: Survey, files: list[str], report: Report | None, tally: Tally) -> list[Annotated]:
    found = []
    for name in files:
        path = survey.root / name
        lines = load_text(path, "images with their faces").splitlines()
        row = 0
        while row < len(lines):
            if not lines[row].strip():
                row += 1
                continue
            where = f"{path}:{row + 1}"
            if row + 1 >= len(lines) or not lines[row + 1].strip().isdecimal():
                raise InputError(f"{where}: {lines[row][:80]!r} is not followed by a number of faces; correct it")
            count = int(lines[row + 1])
            item = Annotated(lines[row].strip(), name.rpartition("/")[0], where)
            for place in range(row + 2, min(row + 2 + count, len(lines))):
                with reported(report):
                    numbers = lines[place].split()
                    if len(numbers) > INVALID and numbers[INVALID] == "1":
                        tally.add("faces are marked invalid: left out", f"{path}:{place + 1}")
                        continue
                    item.things.append(_face(numbers, f"{path}:{place + 1}", tally))
            found.append(item)
            row += 2 + max(count, 1)  # an image without faces has a line of zeros
    return found


def _face(numbers: list[str], where: str, tally: Tally) -> Thing:
    try:
        x, y, w, h = map(float, numbers[:4])
    except ValueError:
        raise InputError(f"{where}: must begin with x y width height") from None
    return thing("face", [x, y, x + w, y + h], where, tally)
