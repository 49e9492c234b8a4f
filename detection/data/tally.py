"""What a reader took in its one sensible meaning though it was written otherwise, counted and told once."""

from __future__ import annotations


class Tally:
    """Counts of tolerances; `lines` tells each once, with the first place where it was needed."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._said: list[str] = []

    def add(self, what: str, where: str = "", count: int = 1) -> None:
        """what: the tolerance in words, such as "sizes missing: read from the images"."""
        if count:
            self._counts[what] = self._counts.get(what, 0) + count
            self._first.setdefault(what, where)

    def say(self, line: str) -> None:
        """A line about the whole dataset."""
        self._said.append(line)

    def lines(self) -> tuple[str, ...]:
        told = list(self._said)
        for what, count in self._counts.items():
            first = self._first[what]
            told.append(f"{count} {what}" + (f" (the first: {first})" if first else ""))
        return tuple(told)
