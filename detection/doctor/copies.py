"""Images that are there more than once, in one split or in two."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from detection.counted import counted
from detection.data.index import AnnotationIndex
from detection.doctor.findings import Item, image_item
from detection.doctor.pictures import Album, alike

Parts = dict[str, AnnotationIndex]

KEPT = {"test": 3, "val": 2, "train": 0}
"""Which split keeps an image that two have: the one that results are measured on."""

Place = tuple[str, int]
"""(split, row of the image)"""


def copied_images(parts: Parts, album: Album) -> list[tuple[str, Item]]:
    """Copies by content, and by path where the content was not read; then look-alikes of those that remain."""
    groups: dict[bytes, list[Place]] = defaultdict(list)
    for split, index in parts.items():
        for row in range(len(index)):
            look = album.seen(index.path(row))
            groups[look.digest if look and look.digest else str(index.path(row).resolve()).encode()].append(
                (split, row)
            )
    found: list[tuple[str, Item]] = []
    for places in groups.values():
        if len(places) > 1:
            found += _copies(parts, places)
    return found + _look_alikes(parts, album, [places[0] for places in groups.values()])


def _copies(parts: Parts, places: list[Place]) -> list[tuple[str, Item]]:
    """Each place of a group but the one to keep, and why it should go."""
    ranked = sorted(places, key=lambda place: (-KEPT.get(place[0], 1), -_count(parts, place)))
    kept = ranked[0]
    found = []
    for place in ranked[1:]:
        split, row = place
        name = f"{kept[0]} {parts[kept[0]].file_names[kept[1]].decode()}"
        differs = not _same_annotations(parts, kept, place)
        if split != kept[0]:
            text = f"is also {name}" + (", with other annotations" if differs else "")
            found.append(("shared image", image_item(split, parts[split], row, text)))
        elif differs:
            counts = f"{counted(_count(parts, place), 'object')} here and {_count(parts, kept)} there"
            found.append(("copy differs", image_item(split, parts[split], row, f"is a copy of {name}, {counts}")))
        else:
            found.append(("copy", image_item(split, parts[split], row, f"is a copy of {name}")))
    return found


def _count(parts: Parts, place: Place) -> int:
    rows = parts[place[0]].rows(place[1])
    return rows.stop - rows.start


def _same_annotations(parts: Parts, a: Place, b: Place) -> bool:
    (first, rows), (second, others) = ((parts[split], parts[split].rows(row)) for split, row in (a, b))
    mine, theirs = (
        sorted(zip(index.labels[rows].tolist(), np.round(index.xywh[rows], 1).tolist()))
        for index, rows in ((first, rows), (second, others))
    )
    return mine == theirs


def _look_alikes(parts: Parts, album: Album, places: list[Place]) -> list[tuple[str, Item]]:
    seen = [(place, look) for place in places if (look := album.seen(parts[place[0]].path(place[1])))]
    found: list[tuple[str, Item]] = []
    told: set[Place] = set()
    for i, j in alike([look for _, look in seen]):
        keep, other = sorted((seen[i][0], seen[j][0]), key=lambda place: -KEPT.get(place[0], 1))
        if other in told:
            continue
        told.add(other)
        rule = "similar image" if keep[0] == other[0] else "similar split"
        text = f"looks like {keep[0]} {parts[keep[0]].file_names[keep[1]].decode()}"
        found.append((rule, image_item(other[0], parts[other[0]], other[1], text)))
    return found


def unions(parts: Parts) -> dict[str, list[str]]:
    """Splits that are two or more others together, such as trainval, and which; they are examined as those."""
    paths: dict[str, set[Path]] = {
        split: {index.path(row) for row in range(len(index))} for split, index in parts.items()
    }
    found = {}
    for split, own in paths.items():
        inside = [other for other, theirs in paths.items() if theirs and theirs < own and other not in found]
        if len(inside) > 1 and set().union(*(paths[other] for other in inside)) == own:
            found[split] = inside
    return found
