"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from detection.errors import InputError


def write_atomically(path: Path | str, data: bytes) -> None:
    """Put `data` into `path`, making its folder where needed.

    A reader, or a run that is killed meanwhile, finds the whole old file or the whole new one. Raises InputError
    where the folder or file cannot be written.
    """
    path = Path(path)
    # Beside the target, since a rename is atomic only within one file system; named by process, so that two runs that
    # write the same file do not write into one another.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give a path in a writable folder") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
