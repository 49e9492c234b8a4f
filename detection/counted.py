"""Numbers of things in messages."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """`1 box`, `2 boxes`; thing: an English noun whose plural is regular."""
    if number == 1:
        return f"{number} {thing}"
    return f"{number} {thing}{'es' if thing.endswith(('s', 'x', 'sh', 'ch')) else 's'}"
