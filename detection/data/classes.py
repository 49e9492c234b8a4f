"""Which classes of a dataset are learned: some of them, several as one, all as one; and which images were not looked
through for some of them.

The order is the file of unlabelled images, then what is merged, then what is kept, then the single class, so that every
name in them is one that the user can see: the dataset's own, or one that a merge has made.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from detection.counted import counted
from detection.data.columns import brief
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.documents import load_text

EVERY = "*"
"""stands for all classes in a file of unlabelled images"""
SINGLE = "object"
"""what the class is called that holds all"""


@dataclass(frozen=True)
class ClassChoice:
    """names: the classes to keep, in this order, None for all; merged: class -> the class it is counted as; single: all
    that is left is one class; unlabelled: file of the classes that were not annotated in an image."""

    names: tuple[str, ...] | None = None
    merged: dict[str, str] = field(default_factory=dict)
    single: bool = False
    unlabelled: Path | None = None

    def __bool__(self) -> bool:
        return self.names is not None or bool(self.merged) or self.single or self.unlabelled is not None

    def of(self, index: AnnotationIndex, strict: bool) -> tuple[AnnotationIndex, list[str]]:
        """The index with these classes, and a line for each thing that it changed.

        strict: a name that is not among the dataset's classes raises InputError, as does a file of unlabelled images
        none of which is here. Another split than the one that is learned from may lack either.
        """
        notes = []
        if self.unlabelled is not None:
            index, note = mark_unlabelled(index, read_unlabelled(self.unlabelled), self.unlabelled, strict)
            notes.append(note)
        if self.merged:
            _refuse_unknown(self.merged, index, "dataset.merge", strict)
            index = regrouped(index, {name: self.merged.get(name, name) for name in index.class_names})
        if self.names is not None:
            _refuse_unknown(self.names, index, "dataset.classes", strict)
            before = len(index.labels)
            index = regrouped(index, {name: name for name in self.names if name in index.class_names})
            left = before - len(index.labels)
            notes += [f"{counted(left, 'object')} of other classes are left out: they are background"] if left else []
        if self.single:
            index = regrouped(index, dict.fromkeys(index.class_names, SINGLE))
        return index, notes


def regrouped(index: AnnotationIndex, group: dict[str, str]) -> AnnotationIndex:
    """The index in the classes that `group` gives its own, in the order they come up in it; objects of classes that it
    does not name are left out. A class keeps the id of the one of its name, or of the first that it is made of."""
    names = tuple(dict.fromkeys(group.values()))
    of_name = {name: k for k, name in enumerate(index.class_names)}
    place = np.full(len(index.class_names), -1, dtype=np.int64)
    ids: dict[str, int] = {}
    for own, name in group.items():
        place[of_name[own]] = names.index(name)
        kept_name = name if group.get(name) == name else own
        ids.setdefault(name, int(index.category_ids[of_name[kept_name]]))
    unjudged = None
    if index.unjudged is not None:
        unjudged = np.zeros((len(index), len(names)), dtype=bool)
        for column, new in enumerate(place.tolist()):
            if new >= 0:
                unjudged[:, new] |= index.unjudged[:, column]
    kept = index.select_annotations(place[index.labels] >= 0)
    return replace(
        kept,
        class_names=names,
        category_ids=np.array([ids[name] for name in names], dtype=np.int64),
        labels=place[kept.labels],
        unjudged=unjudged,
    )


def read_unlabelled(path: Path) -> dict[str, tuple[str, ...]]:
    """Image -> the classes that were not annotated in it, of a JSON object of lists, or of a table whose rows are an
    image and then such classes; `*` stands for every class. Raises InputError for anything else."""
    text = load_text(path, "a JSON object or a table: image, then the classes that were not annotated in it")
    if not text.lstrip().startswith("{"):
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row)]
        short = next((row for row in rows if len(row) < 2), None)
        if short is not None or not rows:
            raise InputError(f"{path}: {brief(short)} names no class; each row is an image and then classes")
        return {row[0]: tuple(name for name in row[1:] if name) for row in rows}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); write {{image: [class, ...]}}") from error
    for image, names in content.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(
                f"{path}: {image}: {brief(names)} is no list of class names; write {{image: [class, ...]}}"
            )
    return {image: tuple(names) for image, names in content.items()}


def mark_unlabelled(
    index: AnnotationIndex, told: dict[str, tuple[str, ...]], path: Path, strict: bool = True
) -> tuple[AnnotationIndex, str]:
    """The index with the classes that were not annotated in an image; images are known by their path, or by their name
    or stem where no other has it. Raises InputError for an unknown class, and with `strict` where no image is here."""
    column = {name: k for k, name in enumerate(index.class_names)}
    _refuse_unknown([name for names in told.values() for name in names if name != EVERY], index, str(path), strict)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(index.file_names.tolist()):
        file = PurePosixPath(name.decode())
        for key in {str(file), file.name, file.stem}:
            rows[key].append(row)
    unjudged = np.zeros((len(index), len(index.class_names)), dtype=bool)
    for image, names in told.items():
        image = image.replace("\\", "/")
        keys = (image, PurePosixPath(image).name, PurePosixPath(image).stem)
        columns = [column[name] for name in names if name in column]
        for row in next((rows[key] for key in keys if len(rows.get(key, ())) == 1), []):
            unjudged[row, slice(None) if EVERY in names else columns] = True
    marked = int(unjudged.any(axis=1).sum())
    if strict and not marked:
        raise InputError(f"{path}: none of its {counted(len(told), 'image')} is in {index.source}; name them as there")
    return (
        replace(index, unjudged=unjudged if marked else None),
        f"{counted(marked, 'image')} with classes that were not annotated there: neither taught nor scored",
    )


def spelled_alike(names: tuple[str, ...]) -> list[list[str]]:
    """Classes whose names are one but for case, spaces, hyphens and underscores."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[re.sub(r"[\s_-]+", "", name.casefold())].append(name)
    return [group for group in alike.values() if len(group) > 1]


def tell_alike(names: tuple[str, ...]) -> list[str]:
    """A line for each group of names that `spelled_alike` finds."""
    return [
        f"classes {', '.join(map(repr, group))} differ only by case, spaces or hyphens; "
        f"--merge {','.join(f'{name}={group[0]}' for name in group[1:])} makes them one"
        for group in spelled_alike(names)
    ]


def _refuse_unknown(names: object, index: AnnotationIndex, what: str, strict: bool) -> None:
    for name in dict.fromkeys(names) if strict else ():  # type: ignore[call-overload]
        if name not in index.class_names:
            near = difflib.get_close_matches(name, index.class_names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is {_listed(index.class_names)}"
            raise InputError(f"{what}: {index.source} has no class {brief(name)}; {hint}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
