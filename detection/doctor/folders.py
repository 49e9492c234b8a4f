"""Datasets written whole, annotations and images, in the layouts of the formats that can be written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from detection.data.coco import write_coco
from detection.data.index import AnnotationIndex
from detection.data.voc import write_voc
from detection.data.yolo import write_yolo
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.progress import track

Parts = dict[str, AnnotationIndex]


def written_as(format: str) -> str:
    """The format to write a copy in: its own, or COCO's where that cannot be written."""
    return format if format in WRITERS else "coco"


def refuse_place(root: Path, out: Path) -> None:
    """Raise InputError where `out` lies in the dataset at `root`, or holds something."""
    folder = (root if root.is_dir() else root.parent).resolve()
    if out.resolve().is_relative_to(folder):
        raise InputError(f"{out}: is inside the dataset, which is never changed; give a folder elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a new folder for the copy")


@contextlib.contextmanager
def appearing_whole(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes `out` once all is written, and else is gone. Raises InputError where the
    system does not let it be written."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if out.is_dir():
            out.rmdir()
        os.replace(temporary, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_coco(parts: Parts, unions: dict[str, list[str]], out: Path) -> Parts:
    for split, index in parts.items():
        name = split.removeprefix("instances_")
        for row in track(range(len(index)), f"writing the images of {split}", len(index)):
            _put(index.path(row), out / name / index.file_names[row].decode())
        write_coco(index, out / "annotations" / f"instances_{name}.json")
    return parts


def _write_voc(parts: Parts, unions: dict[str, list[str]], out: Path) -> Parts:
    owner: dict[str, Path] = {}
    written = {}
    for split, index in parts.items():
        named = written[split] = _renamed(split, index, owner)
        for row in track(range(len(index)), f"writing the images of {split}", len(index)):
            _put(index.path(row), out / "JPEGImages" / named.file_names[row].decode())
        write_voc(named, out, split)
    lists = out / "ImageSets" / "Main"
    for union, inside in unions.items():
        write_atomically(lists / f"{union}.txt", b"".join((lists / f"{split}.txt").read_bytes() for split in inside))
    return written


def _write_yolo(parts: Parts, unions: dict[str, list[str]], out: Path) -> Parts:
    written = {}
    for split, index in parts.items():
        named = written[split] = _renamed(split, index, {})
        for row in track(range(len(index)), f"writing the images of {split}", len(index)):
            _put(index.path(row), out / "images" / split / named.file_names[row].decode())
        write_yolo(named, out, split)
    return written


def _renamed(split: str, index: AnnotationIndex, owner: dict[str, Path]) -> AnnotationIndex:
    """The index with file names without folder, no two with one stem. owner: stem -> the image that has it already;
    what it holds is added to."""
    names = []
    for row in range(len(index)):
        path, name = index.path(row), PurePosixPath(index.file_names[row].decode()).name
        if owner.setdefault(PurePosixPath(name).stem, path) != path:
            name = f"{split}_{row}_{name}"
            owner[PurePosixPath(name).stem] = path
        names.append(name.encode())
    return replace(index, file_names=np.array(names, dtype=np.bytes_))


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        return
    try:
        os.link(source.resolve(), place)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, place)


WRITERS: dict[str, Callable[[Parts, dict[str, list[str]], Path], Parts]] = {
    "coco": _write_coco,
    "voc": _write_voc,
    "yolo": _write_yolo,
}
"""(splits, splits that are others together, folder) -> the splits, their images named as they are written; images are
hard links where the file system has them"""
