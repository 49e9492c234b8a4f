"""A dataset in new parts: the classes spread evenly, and what belongs together kept together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.counted import counted
from detection.data.hold_out import index_fingerprints
from detection.data.index import AnnotationIndex
from detection.data.locate import LocatedDataset
from detection.doctor.convert import lost, sizes_of, whole_parts
from detection.doctor.folders import WRITERS, appearing_whole, refuse_place
from detection.doctor.join import joined, union_of_classes
from detection.errors import InputError

NAMES = {2: ("train", "val"), 3: ("train", "val", "test")}
"""what parts are called, by how many there are"""


def split(
    source: LocatedDataset, shares: Sequence[float], group: str | None, seed: int, format: str, out: Path
) -> list[str]:
    """Write all images of a dataset into the new folder `out`, in parts of these shares; returns a line for each part
    and for whatever is left out.

    Images whose names have the same text where `group`, a regular expression, finds one (in its first bracket, if it
    has one) come into one part, and so do copies of an image. Raises InputError for shares that are none, an expression
    that is none or finds nothing, and where a part would be empty.
    """
    refuse_place(Path(source.root), out)
    if len(shares) not in NAMES or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"shares {' '.join(f'{s:g}' for s in shares)}: give two or three above 0 that add up to 1")
    found, _, lines = whole_parts(source)
    whole = joined(list(found.values()), union_of_classes(list(found.values())))
    groups = groups_of(whole, group)
    part = stratified(whole, groups, shares, seed)
    names = NAMES[len(shares)]
    parts = {name: whole.select_images(np.flatnonzero(part == k)) for k, name in enumerate(names)}
    if not all(map(len, parts.values())):
        raise InputError(
            f"{source.root}: {counted(len(whole), 'image')} in {counted(int(groups.max(initial=-1)) + 1, 'group')} "
            f"are too few for {counted(len(shares), 'part')}"
        )
    if group is not None:
        lines.append(f"{counted(int(groups.max()) + 1, 'group')} of images are kept together")
    lines += [f"{count} {what}" for what, count in lost(parts.values(), format).items() if count]
    with appearing_whole(out) as folder:
        WRITERS[format](parts, {}, folder)
    return [*lines, *sizes_of(parts), *_lacking(parts)]


def groups_of(index: AnnotationIndex, pattern: str | None) -> np.ndarray:
    """(N,) int64, 0..G-1: the group of each image, by its name, or by its content where the pattern does not find."""
    keys: list[object] = index_fingerprints(index).tolist()
    if pattern is not None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise InputError(f"--group {pattern!r}: is no regular expression ({error}); correct it") from error
        found = [compiled.search(name.decode()) for name in index.file_names.tolist()]
        if not any(found):
            first = index.file_names[0].decode() if len(index) else ""
            raise InputError(f"--group {pattern!r}: is in no image's name, such as {first}; correct it")
        keys = [match.group(1 if compiled.groups else 0) if match else key for match, key in zip(found, keys)]
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def stratified(index: AnnotationIndex, groups: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """(N,) int64: the part of each image. Iterative stratification (Sechidis et al. 2011) of whole groups: the class of
    which fewest groups are left is dealt out first, each group to the part that lacks most of that class.

    Images without objects are dealt out like a class, and images themselves last of all.
    """
    count = int(groups.max(initial=-1)) + 1
    image_of_row = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    held = np.zeros((count, len(index.class_names) + 2))
    np.add.at(held, (groups[image_of_row], index.labels), 1)
    held[:, -2] = np.bincount(groups[np.diff(index.offsets) == 0], minlength=count)
    held[:, -1] = np.bincount(groups, minlength=count)
    lacks = np.asarray(shares)[:, None] * held.sum(axis=0)
    random = np.random.default_rng(seed)
    order = random.permutation(count)
    part = np.full(count, -1, dtype=np.int64)
    while (part < 0).any():
        left = (held > 0) & (part < 0)[:, None]
        groups_left = left.sum(axis=0)
        rarest = int(np.where(groups_left > 0, groups_left, count + 1).argmin())
        mine = order[left[order, rarest]]
        # The largest first: what is dealt out last has to fill the gaps.
        for one in mine[np.argsort(-held[mine, rarest], kind="stable")]:
            # Of what lacks as much of the class, that which lacks most images.
            best = np.lexsort((random.random(len(shares)), lacks[:, -1] / shares, lacks[:, rarest]))[-1]
            part[one] = best
            lacks[best] -= held[one]
    return part[groups]


def _lacking(parts: dict[str, AnnotationIndex]) -> list[str]:
    """A line for each part that has no object of some classes."""
    lines = []
    for name, index in parts.items():
        there = set(index.labels.tolist())
        lacking = [label for k, label in enumerate(index.class_names) if k not in there]
        if lacking:
            lines.append(f"warning: {name} has no object of {', '.join(lacking[:8])}{' ...' * (len(lacking) > 8)}")
    return lines
