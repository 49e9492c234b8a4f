"""From what a user names to image files: files, folders and globs; and names for the pictures of them."""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from detection.data.download import parquet_images
from detection.data.image import EXTENSIONS
from detection.data.remote import is_remote, local_copy
from detection.data.shapes import default_cache
from detection.data.slide import SLIDES
from detection.errors import InputError
from detection.files.atomic import LONGEST_NAME
from detection.files.outputs import files_below, in_output


@dataclass(frozen=True)
class Collected:
    """images: in the order named, each once; left_out: folders below those searched that hold results of frcnn."""

    images: list[Path]
    left_out: list[Path]


def collect_images(names: Sequence[str]) -> Collected:
    """Image files in the order named, each once; folders give their images in order of name, subfolders included; what
    lies at an address is copied into the cache; those in a parquet file are unpacked beside it, once.

    Folders of results are left out of the search of another folder, since pictures with boxes on them are no input.
    Raises `InputError` for a name that is nothing, and for a folder or glob without images.
    """
    found: dict[Path, None] = {}
    left_out: list[Path] = []
    for name in _named(names):
        path = local_copy(name, default_cache()) if is_remote(name) else Path(name)
        if path.is_dir():
            images = sorted(p for p in files_below(path, left_out) if _is_image(p) and p.is_file())
        elif path.is_file() and path.suffix.lower() == ".parquet":
            images = sorted(files_below(parquet_images(path), left_out))
        elif path.is_file():
            images = [path]
        else:
            known: dict[Path, bool] = {}
            matched = sorted(Path(p) for p in glob.glob(name, recursive=True) if _is_image(Path(p)))
            images = [p for p in matched if not in_output(p, known)]
            left_out += [folder for folder, holds_results in known.items() if holds_results]
        if not images:
            kinds = " ".join(sorted(EXTENSIONS))
            but = " but for results of frcnn" if left_out else ""
            raise InputError(f"{name}: no such image, folder or glob with images{but} ({kinds})")
        found.update(dict.fromkeys(images))
    return Collected(list(found), left_out)


def _named(names: Sequence[str]) -> Iterator[str]:
    """The names, those in lists among them: a .txt file, or the standard input for -, has a name a line."""
    for name in names:
        if name == "-":
            lines = sys.stdin.read().splitlines()
        elif name.lower().endswith(".txt") and Path(name).is_file():
            lines = Path(name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        else:
            yield name
            continue
        listed = [line.strip() for line in lines if line.strip()]
        if not listed:
            raise InputError(f"{name}: lists no image")
        yield from listed


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS | SLIDES


def picture_names(images: Sequence[Path]) -> list[str]:
    """A file name for the picture of each image, no two alike, also where case does not count.

    That is the image's own name without its ending, with as much of its path before and after as tells it from the
    others that are called alike.
    """
    depth = [0] * len(images)
    while True:
        names = [_label(path, level) for path, level in zip(images, depth)]
        count = Counter(name.casefold() for name in names)
        alike = [i for i, name in enumerate(names) if count[name.casefold()] > 1]
        if not alike:
            return [f"{name}.jpg" for name in names]
        for i in alike:
            depth[i] += 1


def _label(path: Path, level: int) -> str:
    """Without the ending, with it, with the folder, with the folder above, ..., at last with a number of the path."""
    parts = [part for part in path.parts if part not in (os.sep, "..")]
    name = path.stem if level == 0 else "_".join(parts[-level:])
    room = LONGEST_NAME - len(".jpg")
    if level > len(parts) or len(os.fsencode(name)) > room:
        known = hashlib.blake2b(os.fsencode(str(path)), digest_size=8).hexdigest()
        name = f"{os.fsencode(path.stem)[: room - 17].decode(errors='ignore')}-{known}"
    return name
