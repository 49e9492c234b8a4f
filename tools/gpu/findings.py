"""What a part of the check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """what: the claim; measured: the number behind it and its limit."""

    what: str
    passed: bool
    measured: str


@dataclass(frozen=True)
class Found:
    """numbers: for JSON; text: Markdown."""

    checks: list[Check]
    numbers: dict[str, Any]
    text: str = field(default="")


def at_most(what: str, value: float, limit: float) -> Check:
    """A check that `value` does not exceed `limit`."""
    return Check(what, value <= limit, f"{value:.2g}, at most {limit:g}")
