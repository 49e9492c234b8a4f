"""Ranges of settings, written beside the fields that they bound and checked in one place."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from detection.errors import InputError


@dataclass(frozen=True)
class Range:
    """An interval of numbers; `open_low` and `open_high` say which ends do not belong to it."""

    low: float
    high: float
    open_low: bool
    open_high: bool

    @classmethod
    def parse(cls, text: str) -> Range:
        """From the notation of mathematics: "(0, 1]" holds 1 and not 0, "[1, inf)" all numbers from 1."""
        found = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", text)
        if found is None:
            raise ValueError(f"{text!r} is not an interval such as '[0, 1)'")
        return cls(float(found[2]), float(found[3]), found[1] == "(", found[4] == ")")

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"above {self.low:.10g}" if self.open_low else f"{self.low:.10g}"
        if self.high == math.inf:
            return low if self.open_low else f"{low} or more"
        if self.open_high:
            return f"{low} and below {self.high:.10g}" if self.open_low else f"{low} or more, below {self.high:.10g}"
        return f"{low}, at most {self.high:.10g}" if self.open_low else f"{low} to {self.high:.10g}"


def ranged(default: Any, interval: str) -> Any:
    """A dataclass field whose value, or each number of a list or of a list of lists, lies in `interval`; None may."""
    metadata = {"range": Range.parse(interval)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_ranges(section: Any, above: str = "") -> None:
    """Raise `InputError` for the first setting of a config, or of one of its sections, that is out of its range."""
    for field in dataclasses.fields(section):
        value, key = getattr(section, field.name), f"{above}{field.name}"
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif "range" in field.metadata:
            for number in _numbers(value):
                if number not in field.metadata["range"]:
                    raise InputError(f"{key}: {number} is out of range; it must be {field.metadata['range']}")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif value is not None:
        yield value
