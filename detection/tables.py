"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from detection.printable import printable


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, the first to the left and all others to the right, under a rule. Letters that
    a terminal shows two columns wide, as Chinese ones, count as two."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        return "  ".join([row[0] + gaps[0], *(gap + cell for cell, gap in zip(row[1:], gaps[1:]))]).rstrip()

    return "\n".join([line(header), "-" * (sum(widths) + 2 * (len(widths) - 1)), *map(line, rows)])
