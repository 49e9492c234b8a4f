"""A list of JSON objects, checked by column: a single item is looked at only once its column is known to be wrong,
since 860,000 annotations are too many to visit in Python one rule at a time.

What is wrong is raised as `FlawedItems`, which knows all items of the flaw, so that a reader may leave them out.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError

Item = dict[str, Any]

FARTHEST = 2.0**31
"""pixels; a coordinate beyond is a damaged number, and would overflow further on"""

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80


def brief(value: object) -> str:
    """`repr`, cut where a damaged file holds something long."""
    return _BRIEF.repr(value)


class FlawedItems(InputError):
    """Items of one list share a flaw. items: the list; rows: which of them; complaints: one line each."""

    def __init__(self, message: str, items: list[Item], rows: list[int], complaints: Callable[[int], str]) -> None:
        super().__init__(message)
        self.items, self.rows, self.complaints = items, rows, complaints


def column(items: list[Item], key: str, kinds: set[type], kind: str, what: str, path: Path) -> list[Any]:
    """The values of `key`, each of one of the types `kinds` (bool is not an int here); else InputError names the item.

    kind: the types in words; what: the item in words.
    """
    values = [item.get(key) for item in items]
    if not set(map(type, values)) <= kinds:
        wrong = [i for i, value in enumerate(values) if type(value) not in kinds]

        def complaint(row: int) -> str:
            given = f'"{key}" is {brief(values[row])}' if key in items[row] else f'"{key}" is missing'
            return f"{path}: {name_item(what, items[row], row)}: {given}; it must be {kind}"

        raise FlawedItems(complaint(wrong[0]), items, wrong, complaint)
    return values


def name_item(what: str, item: Item, row: int) -> str:
    """An item as a person would look for it."""
    name = f"{what} {brief(item['id'])}" if "id" in item else f"{what} number {row} (counted from 0)"
    return f"{name} ({item['file_name'][:200]})" if isinstance(item.get("file_name"), str) else name


def unique_ids(items: list[Item], what: str, path: Path) -> np.ndarray:
    """(n,) int64, no two alike."""
    ids = column(items, "id", {int}, "a whole number", what, path)
    if len(set(ids)) < len(ids):
        again = later_copies(ids)

        def complaint(row: int) -> str:
            return f"{path}: {what} {ids[row]} is there twice; ids must be unique, renumber one"

        raise FlawedItems(complaint(again[0]), items, again, complaint)
    huge = np.fromiter((not -(2**63) <= number < 2**63 for number in ids), dtype=bool, count=len(ids))
    reject(items, huge, what, path, lambda item: "its id does not fit 64 bits; renumber it")
    return np.array(ids, dtype=np.int64)


def later_copies(values: list[Any]) -> list[int]:
    """Where a value stands that stood before."""
    seen: set[Any] = set()
    return [row for row, value in enumerate(values) if value in seen or seen.add(value)]  # type: ignore[func-returns-value]


def reject(items: list[Item], wrong: np.ndarray, what: str, path: Path, complaint: Callable[[Item], str]) -> None:
    """Raise InputError with `complaint` about the first item where `wrong` (n,) bool is true; pass where none is."""
    rows = np.flatnonzero(wrong)
    if len(rows):

        def told(row: int) -> str:
            return f"{path}: {name_item(what, items[row], row)}: {complaint(items[row])}"

        more = f" (and {len(rows) - 1} more like it)" if len(rows) > 1 else ""
        raise FlawedItems(told(int(rows[0])) + more, items, rows.tolist(), told)


def floats(values: list[Any]) -> np.ndarray:
    """(n,) float64, None as nan; whole numbers that have no float become infinite."""
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return np.array([_float(value) for value in values], dtype=np.float64)


def _float(value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf
