"""Datasets that lie elsewhere: S3, HTTP, Google's and Azure's stores and whatever else fsspec opens, copied into the
cache once, so that training reads from the disk.

What changed there since is fetched anew, by its size and the tag or time that the store gives; what is gone there goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from detection.data.names import leaves_root, unshowable
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.files.chunks import in_threads
from detection.progress import track

try:
    import fcntl
except ImportError:  # Windows: two processes may fetch the same, each whole
    fcntl = None  # type: ignore[assignment]

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
FETCHED = ".fetched.json"
"""what was fetched into a folder of the cache: file -> its size and tag"""
TAGS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "created")


def is_remote(place: str) -> bool:
    return ADDRESS.match(place) is not None


@lru_cache(maxsize=16)
def local_copy(place: str, cache: Path) -> Path:
    """The file or folder of the cache that holds what lies at the address `place`; asked for again, as it is.

    Raises InputError where fsspec, or what it needs for this kind of address, is not installed, and where nothing is
    there or it cannot be fetched.
    """
    files, root, system = _listed(place)
    name = PurePosixPath(root.rstrip("/")).name or "data"
    if leaves_root(name) or unshowable(name):
        name = "data"
    folder = cache / "remote" / hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _fetch(system, files, folder / name, folder / FETCHED, place)
    return folder / name


def _listed(place: str) -> tuple[dict[str, tuple[str, list[Any]]], str, Any]:
    """({path below `place`, "" for `place` itself: (path in the store, [size, tag])}, path of `place`, the store)."""
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{place}: needs fsspec: pip install frcnn-toolkit[remote]") from None
    try:
        system, root = fsspec.core.url_to_fs(place)
        found = {root: system.info(root)} if system.isfile(root) else system.find(root, detail=True)
    except ImportError as error:
        raise InputError(f"{place}: {' '.join(str(error).split())}") from error
    # Stores raise what their clients do: OSError, botocore's and aiohttp's errors, ValueError, ...
    except Exception as error:
        raise _failed(place, error) from error
    if not found:
        raise InputError(f"{place}: there is nothing; give the address of a dataset")
    files = {}
    for path, info in found.items():
        below = path[len(root.rstrip("/")) :].lstrip("/") if path != root else ""
        if below and (leaves_root(below) or unshowable(below)):
            raise InputError(f"{place}: {below[:200]!r} is no name of a file in a folder; rename it there")
        tag = next((str(info[key]) for key in TAGS if info.get(key) is not None), None)
        files[below] = (path, [info.get("size"), tag])
    return files, root, system


def _fetch(system: Any, files: dict[str, tuple[str, list[Any]]], target: Path, known: Path, place: str) -> None:
    """Bring `target` up to date with the files of the store; whatever was fetched before a failure is kept."""
    before = _known(known)
    there = {below for below, (_, told) in files.items() if before.get(below) == told and (target / below).is_file()}
    wanted = [below for below in files if below not in there]
    fetched = {below: files[below][1] for below in there}

    def fetch(below: str) -> None:
        goal = target / below
        goal.parent.mkdir(parents=True, exist_ok=True)
        part = goal.with_name(f".{goal.name}.{os.getpid()}.tmp")
        try:
            system.get_file(files[below][0], str(part))
            os.replace(part, goal)
        except Exception as error:
            raise _failed(f"{place}: {below}" if below else place, error) from error
        finally:
            part.unlink(missing_ok=True)
        fetched[below] = files[below][1]

    try:
        for _ in track(in_threads(fetch, wanted), f"fetching {place}", len(wanted)):
            pass
        for below in before.keys() - files.keys():
            (target / below).unlink(missing_ok=True)
    finally:
        if wanted or before.keys() != files.keys():
            write_atomically(known, json.dumps(fetched).encode())


def _known(path: Path) -> dict[str, list[Any]]:
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _failed(place: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{place}: cannot be fetched ({reason[:300]}); check the address and the access to it")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the others wait, and then find everything there."""
    with (folder / ".lock").open("w") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # no locks here
                fcntl.lockf(file, fcntl.LOCK_EX)
        yield
