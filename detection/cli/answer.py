"""`--json`: the result of a command for programs, alone on the standard output."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

Answer = Callable[[Any], None]


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON, for programs, and nothing else")


@contextlib.contextmanager
def answering(wanted: bool) -> Iterator[Answer]:
    """Within it, what the command prints goes to the standard error, and what it answers is printed as JSON at its end;
    unless that is `wanted`, the command prints as ever and its answer is dropped. A failed command answers nothing."""
    if not wanted:
        yield lambda content: None
        return
    answers: list[Any] = []
    with contextlib.redirect_stdout(sys.stderr):
        yield answers.append
    for content in answers:
        print(json.dumps(content, indent=1))
