"""What lies in a folder: its images and the other files, listed once, and which image an annotation means.

An annotation names its image by a path, of this machine or of another, by a file name, or by a name without ending.
`Survey.find` tries these in that order; where several images fit equally well it finds none, since a guess would put
boxes on the wrong picture.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from detection.data.image import EXTENSIONS
from detection.data.names import leaves_root, split_name, unshowable

Found = tuple[str, str]
"""(file relative to the root, how it was found: "path", "name" or "stem")"""


class Survey:
    """The files below `root`, without hidden ones; folders that are links are followed, each real folder once.

    images, others: paths with /, sorted, of images relative to `image_root`, which is the root where no other folder is
    given for them, of others relative to root; others by their ending in lower case.
    """

    def __init__(self, root: Path, images: Path | None = None) -> None:
        self.root = Path(root)
        self.image_root = Path(images or root)
        self.images: list[str] = []
        self.others: dict[str, list[str]] = defaultdict(list)
        self._found: dict[tuple[str, str], Found | None] = {}
        for name in _files_below(self.root):
            ending = os.path.splitext(name)[1].lower()
            if ending not in EXTENSIONS:
                self.others[ending].append(name)
            elif images is None:
                self.images.append(name)
        for name in () if images is None else _files_below(self.image_root):
            if os.path.splitext(name)[1].lower() in EXTENSIONS:
                self.images.append(name)

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self.images)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return grouped(self.images, lambda path: path.rpartition("/")[2].lower())

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return grouped(self.images, lambda path: os.path.splitext(path.rpartition("/")[2])[0].lower())

    def find(self, name: str, near: str = "") -> Found | None:
        """The image that `name` means in an annotation file in the folder `near`, relative to root; None where there is
        none, or more than one that fits equally."""
        key = (name, near)
        if key not in self._found:
            self._found[key] = self._find(name, near)
        return self._found[key]

    def _find(self, name: str, near: str) -> Found | None:
        given = plain(name)
        if not given:
            return None
        for path in (f"{near}/{given}" if near else given, given):
            if path in self._paths:
                return path, "path"
        base = given.rpartition("/")[2].lower()
        by_name = best(self._by_name.get(base, []), given, near)
        if by_name is not None:
            return by_name, "name"
        if base in self._by_name:
            return None
        stem, ending = os.path.splitext(base)
        fitting = self._by_stem.get(base, []) or (self._by_stem.get(stem, []) if ending in EXTENSIONS else [])
        by_stem = best(fitting, given, near)
        return None if by_stem is None else (by_stem, "stem")

    def beside(self, folders: Iterable[str]) -> list[str]:
        """The images that lie in one of `folders`."""
        wanted = set(folders)
        return [path for path in self.images if path.rpartition("/")[0] in wanted]


def _files_below(root: Path) -> Iterator[str]:
    """Relative to root, in order."""
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "__MACOSX")
        real = os.path.realpath(folder)
        if real in seen:
            inner[:] = []
            continue
        seen.add(real)
        prefix = "" if Path(folder) == root else f"{Path(folder).relative_to(root).as_posix()}/"
        for name in sorted(names):
            if not (name.startswith(".") or leaves_root(prefix + name) or unshowable(name)):
                yield prefix + name


def plain(name: str) -> str:
    """A name as any system or web address spells it, as a relative path with /, or "" where nothing is left of it."""
    text = name.strip().replace("\\", "/")
    if "://" in text:
        text = text.partition("://")[2].partition("?")[0]
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    if parts and len(parts[0]) == 2 and parts[0][1] == ":":
        parts = parts[1:]
    return "/".join(parts)


def grouped(paths: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return dict(groups)


def best(candidates: list[str], name: str, near: str) -> str | None:
    """The one of `candidates` that shares most folders with the end of `name`, then most with `near`; None where two
    share equally many. None of them lies in a folder of another split than `name` or `near` say: an image of that name
    there is another image."""
    split = split_name(name.rpartition("/")[0]) or split_name(near)
    if split is not None:
        candidates = [path for path in candidates if split_name(path.rpartition("/")[0]) in (split, None)]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    folders = PurePosixPath(name).parent.parts
    around = {part.lower() for part in PurePosixPath(near).parts}

    def fit(path: str) -> tuple[int, int]:
        own = PurePosixPath(path).parent.parts
        same = 0
        for one, other in zip(reversed(own), reversed(folders)):
            if one.lower() != other.lower():
                break
            same += 1
        return same, len({part.lower() for part in own} & around)

    ranked = sorted(candidates, key=fit, reverse=True)
    return None if fit(ranked[0]) == fit(ranked[1]) else ranked[0]
