"""Markdown tables, and the published errors that stand beside one's own in them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from backbones.printable import printable

ALIGNMENTS = {"l": ":---", "c": ":---:", "r": "---:"}


@dataclass(frozen=True)
class PublishedError:
    """Test errors in percent: ImageNet's are of 10 crops, CIFAR-10's of the whole image.

    top5: None where the paper gives none; mean and deviation: over 5 runs, of which top1 is the best.
    """

    top1: float
    top5: float | None = None
    mean: float | None = None
    deviation: float | None = None


PAPER_ERRORS = {
    ("vgg16", "none"): PublishedError(28.07, 9.33),
    ("plain18", "none"): PublishedError(27.94),
    ("plain34", "none"): PublishedError(28.54, 10.02),
    ("resnet18", "A"): PublishedError(27.88),
    ("resnet34", "A"): PublishedError(25.03, 7.76),
    ("resnet34", "B"): PublishedError(24.52, 7.46),
    ("resnet34", "C"): PublishedError(24.19, 7.40),
    ("resnet50", "B"): PublishedError(22.85, 6.71),
    ("resnet101", "B"): PublishedError(21.75, 6.05),
    ("resnet152", "B"): PublishedError(21.43, 5.71),
    ("cifar_resnet20", "A"): PublishedError(8.75),
    ("cifar_resnet32", "A"): PublishedError(7.51),
    ("cifar_resnet44", "A"): PublishedError(7.17),
    ("cifar_resnet56", "A"): PublishedError(6.97),
    ("cifar_resnet110", "A"): PublishedError(6.43, mean=6.61, deviation=0.16),
    ("cifar_resnet1202", "A"): PublishedError(7.93),
}
"""(net, shortcut) -> its error in He et al. 2015, tables 2, 3 and 6."""


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
