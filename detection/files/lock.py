"""One writer a folder: a lock that dies with its process."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import IO

from detection import parallel
from detection.errors import InputError
from detection.files.atomic import cannot_write, remove_leftovers
from detection.files.outputs import claim_output

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"


class FolderLock:
    """Held from birth to `release`, or to the end of the process, however it ends.

    The lock is the kernel's (POSIX, so that loader workers do not inherit it and network drives know it); the file
    only tells whose it is. Raises `InputError` where another process holds it or the folder cannot be written. File
    systems without locks are used unlocked.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file: IO[str] | None = None
        while self._file is None:
            self._file = self._open()

    def check(self) -> None:
        """Raise `InputError` where the folder, or the lock in it, was removed: another run may be there by now."""
        assert self._file is not None
        try:
            lost = not os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except OSError:
            lost = True
        if lost:
            raise InputError(
                f"{self.path.parent}: the folder was removed or replaced while in use; nothing more goes in"
            )

    def release(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError, InputError):
                self.check()
                self.path.unlink()
            self._file.close()
            self._file = None

    def _open(self) -> IO[str] | None:
        """The locked file; None where it was removed meanwhile by a process that was done."""
        try:
            file = self.path.open("a+")
        except OSError as error:
            raise cannot_write(self.path.parent, error) from error
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                holder = file.read().strip() or "another process"
                file.close()
                raise InputError(
                    f"{self.path.parent}: in use by {holder}; wait for it, stop it, or give another --output"
                ) from None
            except OSError:
                pass  # no locks here
        try:
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                raise FileNotFoundError
        except FileNotFoundError:
            file.close()
            return None
        file.truncate(0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its text is missing
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        return file


def claim(folder: Path) -> FolderLock | None:
    """The lock of `folder`, which is made where needed and cleared of what killed processes left in it; None on ranks
    other than the first. Raises `InputError` on all ranks where another process works there, where the folder holds
    other things than results, or where nothing can be written.
    """
    held: list[FolderLock] = []

    def take() -> None:
        claim_output(folder)
        held.append(FolderLock(folder))
        remove_leftovers(folder)

    parallel.on_first(take)
    return held[0] if held else None
