"""`--score`: from which score on a detection counts, for all classes or class by class."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

from detection.cli.arguments import share
from detection.errors import InputError

SCORE = 0.5
"""Least score of a detection where neither --score nor the checkpoint says one."""

Given = tuple[str | None, float]
"""One --score: a class, None for all, and its least score."""


def add_score(parser: argparse.ArgumentParser) -> None:
    text = (
        "lowest score of a detection, of all classes (0.5) or of one (CLASS=0.3), may be repeated;"
        f" default as `frcnn threshold` chose, else {SCORE}"
    )
    parser.add_argument("--score", type=_given, action="append", metavar="[CLASS=]SCORE", help=text)


def _given(text: str) -> Given:
    name, equals, number = text.rpartition("=")
    try:
        return (name if equals else None), share(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is neither a number from 0 to 1 nor CLASS=NUMBER") from None


def least_scores(
    given: Sequence[Given] | None, stored: Sequence[float] | None, names: Sequence[str]
) -> float | list[float]:
    """The least score of each of the classes `names`, or one for all where a number alone is given.

    A class that is not named has the number that is given for all, else its `stored` threshold, else `SCORE`; of two
    for one class the last counts. Raises `InputError` for a class that there is not.
    """
    by_class = dict(given or ())
    for name in by_class:
        if name is not None and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise InputError(f"--score: there is no class {name!r}; {hint}")
    for_all = by_class.pop(None, None)
    if for_all is not None and not by_class:
        return for_all
    others = stored if for_all is None and stored else [SCORE if for_all is None else for_all] * len(names)
    return [by_class.get(name, other) for name, other in zip(names, others)]
