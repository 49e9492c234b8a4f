"""What happens to an item of a dataset that cannot be read: it ends the reading, or is reported and left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from detection.errors import InputError

Report = Callable[[str], None]
"""Called with a line for each item that is left out."""


def report_or_raise(error: InputError, report: Report | None) -> None:
    """Report the flaw where there is a `report`; else it is raised."""
    if report is None:
        raise error
    report(str(error))


@contextlib.contextmanager
def reported(report: Report | None) -> Iterator[None]:
    """The same for an `InputError` that is raised within. Of a million rows, each takes longer in this context than it
    does to read: they catch the error themselves."""
    try:
        yield
    except InputError as error:
        report_or_raise(error, report)
