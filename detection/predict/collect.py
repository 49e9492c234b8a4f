"""From what a user names to image files: files, folders and globs."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from detection.data.image import EXTENSIONS
from detection.errors import InputError


def collect_images(names: Sequence[str]) -> list[Path]:
    """Image files in the order named, each once; folders give their images in order of name, subfolders included.

    Raises `InputError` for a name that is nothing, and for a folder or glob without images.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            images = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        elif path.is_file():
            images = [path]
        else:
            images = sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).suffix.lower() in EXTENSIONS)
        if not images:
            known = " ".join(sorted(EXTENSIONS))
            raise InputError(f"{name}: no such image, folder or glob with images ({known})")
        found.update(dict.fromkeys(images))
    return list(found)


def picture_names(images: Sequence[Path]) -> list[str]:
    """A file name for the picture of each image, numbered where two images are called alike."""
    taken: dict[str, int] = {}
    names = []
    for image in images:
        count = taken.get(image.stem, 0)
        taken[image.stem] = count + 1
        names.append(f"{image.stem}-{count}.jpg" if count else f"{image.stem}.jpg")
    return names
