"""Markdown tables and text whose cells cannot break them."""

from __future__ import annotations

import html
from collections.abc import Sequence

from detection.printable import printable

ALIGNMENTS = {"l": ":---", "c": ":---:", "r": "---:"}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]], align: str | None = None) -> str:
    """A table in GitHub's Markdown, ending in a line feed; cells are text, not markup. None is an empty cell.

    align: a letter for each column, l, c or r; by default numbers are on the right and all else on the left.
    Raises `ValueError` where a row or `align` has not as many columns as the header, or a letter is unknown.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells under a header of {len(header)}")
    if align is None:
        align = "".join(_usual_alignment([row[i] for row in rows]) for i in range(len(header)))
    if len(align) != len(header) or not set(align) <= set(ALIGNMENTS):
        raise ValueError(f"align {align!r} must be {len(header)} letters of {', '.join(ALIGNMENTS)}")
    lines = [[markdown_text(cell) for cell in row] for row in (header, *rows)]
    lines.insert(1, [ALIGNMENTS[letter] for letter in align])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _usual_alignment(cells: list[object]) -> str:
    given = [cell for cell in cells if cell is not None]
    return "r" if given and all(isinstance(cell, int | float) for cell in given) else "l"


def markdown_text(value: object) -> str:
    """One line of Markdown that shows `value` as it is: no tags, links, pictures or columns of a table come of it.
    None is nothing."""
    text = "" if value is None else printable(" ".join(str(value).split()))
    # Backslashes first: one that stood before a pipe would undo the pipe's own.
    text = html.escape(text, quote=False).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("](", "]\\(")


def fenced(command: str) -> str:
    """A command line as a block of code, behind a fence that it cannot end."""
    command = printable(command)
    fence = "```"
    while fence in command:
        fence += "`"
    return f"{fence}\n{command}\n{fence}"
