"""What may be written where: nothing that a user owns is overwritten, and results are not taken for input.

A folder that a command fills has a file `.frcnn-output` in it, which says that what else lies there are results.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from detection.errors import InputError
from detection.files.atomic import write_atomically

MARKER = ".frcnn-output"
TEXT = b"Results of frcnn: images in this folder are left out where images are searched for.\n"


def claim_output(folder: Path, option: str = "--output") -> None:
    """Make `folder` one for results. Raises `InputError` where it holds other things, which results would lie among or
    overwrite, or where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made a folder for results ({error.strerror}); give another --output"
        ) from error
    if MARKER in names:
        return
    found = [name for name in names if not name.startswith(".")]  # what a file browser or a killed process leaves
    if found:
        raise InputError(
            f"{folder}: holds other things than results of frcnn, such as {found[0]}; give a new or an empty folder "
            f"with {option}"
        )
    write_atomically(folder / MARKER, TEXT)


def is_output(folder: Path) -> bool:
    """Whether a command has filled the folder with results."""
    return (folder / MARKER).exists()


def files_below(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """Files in `folder` and its subfolders, but not in those that hold results, which are added to `left_out`."""
    for parent, inner, names in os.walk(folder):
        results = [name for name in inner if is_output(Path(parent, name))]
        left_out += [Path(parent, name) for name in results]
        inner[:] = sorted(set(inner) - set(results))
        yield from (Path(parent, name) for name in names)


def in_output(path: Path, known: dict[Path, bool]) -> bool:
    """Whether any folder above `path` holds results. known: answers so far, by folder."""
    parent = path.parent
    if parent not in known:
        above = parent != parent.parent and in_output(parent, known)
        known[parent] = above or is_output(parent)
    return known[parent]


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise `InputError` where one of the files to be written is one of those that are read, by whatever name or link.
    Folders among `inputs` stand for themselves, not for what lies in them."""
    there = {_identity(path): path for path in outputs if path.exists()}
    for path in inputs if there else ():
        own = _identity(path) if path.exists() else None
        if own in there:
            raise InputError(
                f"{there[own]}: is an input of this command ({path}) and would be overwritten; write elsewhere"
            )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
