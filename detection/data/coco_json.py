"""The text of a COCO file as Python objects: fast where the file is as it should be, exact where it is not."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from detection.errors import InputError
from detection.files.documents import load_bytes


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep the garbage collector from walking millions of live JSON objects again and again: it doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_coco_json(path: Path, whole: bool = False) -> dict[str, Any]:
    """The object that the file holds, with the fields that are read always, or the `whole` of it. Raises `InputError`
    where it cannot be read, or is none."""
    text = load_bytes(path)
    try:
        data = json.loads(text) if whole else _parse(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); write it again, it may be cut off") from error
    _refuse_twice(text, path)
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: holds a JSON {type(data).__name__}, not an object with images, annotations and categories;"
            " a list is usually a file of results"
        )
    return data


def _refuse_twice(text: bytes, path: Path) -> None:
    """Raise InputError for an object with one key twice, of which JSON's readers keep the last and drop the other.

    Looked for only where a list could be there twice: a second reading of every object takes seconds in large files.
    """

    def checked(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}: an object has the key {twice!r} twice; delete one of them")

    if any(text.count(f'"{key}"'.encode()) > 1 for key in ("images", "annotations", "categories")):
        json.loads(text, object_pairs_hook=checked)


def _parse(text: bytes) -> Any:
    """What `json.loads` gives, but only the fields that are read here, where the file is as it should be.

    Ten times as fast where there are segmentations, since no Python object is made for a number of them.
    """
    import msgspec  # late, as whoever reads no COCO file needs none

    try:
        if not text.isascii():
            text.decode()  # msgspec looks at no letter of what it leaves out
        return msgspec.json.decode(text, type=_File)
    except (ValueError, RecursionError):  # NaN and the like, which json takes, or a flaw, of which json says more
        return json.loads(text)


class _ImageFields(TypedDict, total=False):
    id: Any
    file_name: Any
    height: Any
    width: Any


class _AnnotationFields(TypedDict, total=False):
    id: Any
    image_id: Any
    category_id: Any
    bbox: Any
    area: Any
    iscrowd: Any


class _CategoryFields(TypedDict, total=False):
    id: Any
    name: Any
    supercategory: Any


class _File(TypedDict, total=False):
    images: list[_ImageFields]
    annotations: list[_AnnotationFields]
    categories: list[_CategoryFields]
