"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import threading
from pathlib import Path

from detection.errors import InputError

LONGEST_NAME = 255
"""Bytes of a file's name that common file systems allow."""

CURES = {
    errno.ENOSPC: "free some space on it",
    errno.EDQUOT: "free some space, the quota is used up",
    errno.EROFS: "its file system is read-only; mount it for writing, or give another folder",
    errno.ENOENT: "its folder has gone",
    errno.ENAMETOOLONG: f"file systems allow names of {LONGEST_NAME} bytes; shorten the name, or that of its image",
    errno.EIO: "the disk or the network fails; look at the system's log",
}
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


def write_atomically(path: Path | str, data: bytes | memoryview, previous: Path | None = None) -> None:
    """Put `data` into `path`, making its folder where needed.

    A reader, a run that is killed meanwhile, or a machine that loses its power finds the whole old file or the whole
    new one. previous: a name in the same folder under which the old file stays. Raises InputError where the folder or
    file cannot be written; the old file is then as it was.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            give_name(path, previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def give_name(path: Path, other: Path) -> None:
    """Let the file at `path` be called `other` too, without copying it; where the file system has no links it is moved
    there. Raises OSError."""
    temporary = _temporary(other)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(path, temporary)
        os.replace(temporary, other)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        os.replace(path, other)
    finally:  # a rename between two names of one file leaves both
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote into `folder`."""
    for path in folder.iterdir():
        named = TEMPORARY.fullmatch(path.name)
        if named and (int(named[1]) == os.getpid() or not _lives(int(named[1]))):
            with contextlib.suppress(OSError):
                path.unlink()


def cannot_write(path: Path, error: OSError) -> InputError:
    """What to say of a file that could not be written: the reason and the cure."""
    cure = CURES.get(error.errno or 0, "give a path in a writable folder")
    return InputError(f"{path}: cannot be written ({error.strerror}); {cure}")


def _temporary(path: Path) -> Path:
    # Beside the target, since a rename is atomic only within one file system; named by process, so that two runs that
    # write the same file do not write into one another, and by thread, as two jobs of one experiment may. A name that
    # fills what file systems allow has no room for more.
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME - 40:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return path.with_name(f".{name}.{threading.get_native_id()}.{os.getpid()}.tmp")


def _sync_folder(folder: Path) -> None:
    """Make a rename last: it is an entry of the folder, which the system writes when it likes."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows syncs with the file
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot; the file itself is there
            os.fsync(handle)
    finally:
        os.close(handle)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
