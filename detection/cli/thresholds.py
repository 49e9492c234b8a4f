"""`--score` and `--classes`: from which score on a detection counts, for all classes or class by class."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence

from detection.cli.arguments import share
from detection.errors import InputError

SCORE = 0.5
"""Least score of a detection where neither --score nor the checkpoint says one."""

NEVER = 2.0
"""A score that nothing reaches."""

Given = tuple[str | None, float]
"""One --score: a class, None for all, and its least score."""


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """`--score` and `--classes`, for `least_scores`."""
    text = (
        "lowest score of a detection, of all classes (0.5) or of one (CLASS=0.3), may be repeated;"
        f" default as `frcnn threshold` chose, else {SCORE}"
    )
    parser.add_argument("--score", type=_given, action="append", metavar="[CLASS=]SCORE", help=text)
    parser.add_argument("--classes", metavar="A,B", help="these classes alone")


def _given(text: str) -> Given:
    name, equals, number = text.rpartition("=")
    try:
        return (name if equals else None), share(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is neither a number from 0 to 1 nor CLASS=NUMBER") from None


def least_scores(args: argparse.Namespace, stored: Sequence[float] | None, names: Sequence[str]) -> float | list[float]:
    """The least score of each of the classes `names`, or one for all where `args` says no more than that.

    A class that no --score names has the number that is given for all, else its `stored` threshold, else `SCORE`; of
    two for one class the last counts; one that --classes leaves out has `NEVER`. Raises `InputError` for a class that
    there is not.
    """
    given: dict[str | None, float] = dict(args.score or ())
    for_all = given.pop(None, None)
    by_class = {name: score for name, score in given.items() if name is not None}
    _refuse_unknown("--score", by_class, names)
    if for_all is not None and not by_class and not args.classes:
        return for_all
    others: Sequence[float] = [SCORE if for_all is None else for_all] * len(names)
    if for_all is None and stored:
        others = stored
    least = [by_class.get(name, other) for name, other in zip(names, others)]
    if not args.classes:
        return least
    wanted = [name.strip() for name in args.classes.split(",")]
    _refuse_unknown("--classes", wanted, names)
    return [score if name in wanted else NEVER for name, score in zip(names, least)]


def _refuse_unknown(option: str, wanted: Iterable[str], names: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise InputError(f"{option}: there is no class {name!r}; {hint}")
