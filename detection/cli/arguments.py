"""A parser whose complaints are one line, like all others."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import NoReturn

from detection.errors import InputError


class Parser(argparse.ArgumentParser):
    """argparse that raises `InputError` instead of printing its usage."""

    def __init__(self, program: str, description: str) -> None:
        formatter = argparse.ArgumentDefaultsHelpFormatter
        super().__init__(prog=program, description=description, formatter_class=formatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        word = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        if message.startswith("unrecognized arguments: -"):
            names = [name for action in self._actions for name in action.option_strings]
            near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"see {self.prog} --help"
            raise InputError(f"{word}: there is no such option; {hint}")
        if message.startswith("unrecognized arguments: "):
            raise InputError(f"{word}: belongs to no option; an option is repeated for several values, see --help")
        raise InputError(f"{message}; see {self.prog} --help")


def refuse_unused(parser: Parser, args: argparse.Namespace, names: str, because: str) -> None:
    """Raise `InputError` for the first of `names`, apart by spaces, that is given and would change nothing."""
    for action in parser._actions:
        if action.dest in names.split() and getattr(args, action.dest) != action.default:
            raise InputError(f"{action.option_strings[-1]}: has no effect {because}; leave it out")


def add_format(parser: Parser, default: str | None = "auto") -> None:
    """--format, with every format that is read. default: None where a checkpoint or run says it else."""
    from detection.config.schema import FORMATS

    parser.add_argument("--format", choices=FORMATS, default=default, help="format of the annotations")


def add_copy(parser: Parser) -> None:
    """--output and --to of the commands that write a new dataset."""
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="new folder for the dataset")
    parser.add_argument("--to", choices=["coco", "voc", "yolo"], help="format to write; default as it is, or COCO")


def at_least(lowest: int) -> type:
    """A whole number not below `lowest`, as an argparse type."""

    def number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
        return value

    return number  # type: ignore[return-value]


def share(text: str) -> float:
    """A number from 0 to 1, as an argparse type."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def above_zero(text: str) -> float:
    """A number above 0, as an argparse type."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value
