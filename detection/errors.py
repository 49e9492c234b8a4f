"""The exception for what a user can fix."""

from __future__ import annotations

from detection.printable import printable

LONGEST = 2000
"""letters of a message; a damaged file can hold a name or a number of megabytes"""


class InputError(ValueError):
    """Something given from outside is wrong: a file, an annotation, a config value, a checkpoint.

    The message is one line: what is wrong, in which file and item, how to fix it. The command line prints it and
    exits with status 2; as a `ValueError` it is also what library callers expect. Whatever a file put into it, the
    message is one line that does nothing to a terminal.
    """

    def __init__(self, message: str) -> None:
        # torch's DataLoader raises a worker's exception anew, with the worker's whole traceback as its message.
        if message.startswith("Caught InputError in DataLoader worker"):
            message = message.rstrip().rsplit("InputError: ", 1)[-1]
        message = printable(message)
        if len(message) > LONGEST:
            message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
        super().__init__(message)


class DivergedError(InputError):
    """A loss or gradient is not finite: with these settings a net does not learn."""
