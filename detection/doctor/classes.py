"""Classes: lists that differ, names that are one, how many objects each has.

Counts of unused and rare classes, and extreme shapes of boxes, come from hotcoco's health check. Its other rules are
not used: for boxes outside and duplicates it has other limits than training here, and does not tell which two boxes a
pair is; the structural ones cannot be broken by an index that a reader made.
"""

from __future__ import annotations

from dataclasses import replace

import hotcoco
import numpy as np

from detection.counted import counted
from detection.data.classes import spelled_alike
from detection.data.index import AnnotationIndex
from detection.doctor.findings import Item, box_item

Parts = dict[str, AnnotationIndex]

IMBALANCE = 50


def class_lists(parts: Parts) -> list[tuple[str, Item]]:
    """Splits whose classes training would refuse beside those of the training split."""
    if "train" not in parts:
        return []
    wanted = parts["train"].class_names
    found = []
    for split, index in parts.items():
        used = {index.class_names[k] for k in np.unique(index.labels).tolist()}
        if extra := [name for name in index.class_names if name in used and name not in wanted]:
            found.append(("classes differ", Item(split, f"{split} adds {', '.join(extra[:5])}")))
    return found


def united(parts: Parts) -> Parts:
    """The splits with one list of classes: the training split's, then what others add.

    Ids of categories stay where all splits agree, else they count from 1.
    """
    first = parts.get("train") or next(iter(parts.values()), None)
    if first is None or all(
        p.class_names == first.class_names and np.array_equal(p.category_ids, first.category_ids)
        for p in parts.values()
    ):
        return parts
    names = tuple(dict.fromkeys([*first.class_names, *(n for index in parts.values() for n in index.class_names)]))
    return {split: relabelled(index, names, {}) for split, index in parts.items()}


def relabelled(index: AnnotationIndex, names: tuple[str, ...], spelling: dict[str, str]) -> AnnotationIndex:
    """The index with classes `names`; `spelling` gives another name to some of its own."""
    label = {name: k for k, name in enumerate(names)}
    new = np.array([label[spelling.get(name, name)] for name in index.class_names], dtype=np.int64)
    ids = np.arange(1, len(names) + 1, dtype=np.int64)
    return replace(index, class_names=names, category_ids=ids, labels=new[index.labels])


def class_names(parts: Parts) -> list[tuple[str, Item]]:
    """Classes, of one list for all splits, whose names are one but for case, spaces, hyphens and underscores."""
    found = []
    for name, common in spellings(parts).items():
        found.append(("class names", Item("all", f"class {name!r} looks like {common!r}")))
    return found


def spellings(parts: Parts) -> dict[str, str]:
    """Name -> the commonest name that it is a spelling of."""
    names = next(iter(parts.values())).class_names if parts else ()
    counts = sum((np.bincount(i.labels, minlength=len(names)) for i in parts.values()), np.zeros(len(names), int))
    found: dict[str, str] = {}
    for group in spelled_alike(names):
        common = max(group, key=lambda name: counts[names.index(name)])
        found |= {name: common for name in group if name != common}
    return found


def untrained(parts: Parts) -> list[tuple[str, Item]]:
    """Classes with objects elsewhere and none in the training split."""
    if "train" not in parts:
        return []
    train = set(parts["train"].labels.tolist())
    found = []
    for split, index in parts.items():
        for label, count in zip(*(column.tolist() for column in np.unique(index.labels, return_counts=True))):
            if label not in train:
                text = f"class {index.class_names[label]!r} has {counted(count, 'object')} in {split} and none in train"
                found.append(("class untrained", Item(split, text, row=label)))
    return found


def distribution(split: str, index: AnnotationIndex) -> list[tuple[str, Item]]:
    """Unused and rare classes, imbalance, and boxes of extreme shape, by hotcoco."""
    rows = np.arange(len(index.labels))
    # Ids here are rows: hotcoco takes none below zero.
    dataset = hotcoco.COCO.from_arrays(
        [{"id": i, "height": int(h), "width": int(w)} for i, (h, w) in enumerate(index.sizes)],
        [{"id": k, "name": name} for k, name in enumerate(index.class_names)],
        np.repeat(np.arange(len(index)), np.diff(index.offsets)),
        index.labels,
        index.xywh,
        ids=rows,
        iscrowd=index.crowd,
    )
    health = dataset.healthcheck()
    told = {warning["code"]: warning["affected_ids"] for warning in health["warnings"]}
    counts = np.bincount(index.labels, minlength=len(index.class_names))
    found = []

    def tell(rule: str, label: int, text: str) -> None:
        found.append((rule, Item(split, f"class {index.class_names[label]!r} {text}", row=label)))

    for label in sorted(told.get("zero_instance_category", [])):
        tell("class unused", label, f"has no object in {split}")
    if split == "train":
        for label in sorted(told.get("low_instance_category", []), key=lambda label: counts[label]):
            tell("class rare", label, f"has {counted(counts[label], 'object')} in {split}")
        for label in np.flatnonzero((counts >= 10) & (counts * IMBALANCE < counts.max(initial=0))).tolist():
            tell("imbalance", label, f"has {counted(counts[label], 'object')}, the commonest has {counts.max()}")
    for row in told.get("extreme_aspect_ratio", []):
        found.append(("extreme shape", box_item(split, index, row, "is extremely long")))
    return found
