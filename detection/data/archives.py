"""Archives of datasets: fetched, resumed, verified, and unpacked without letting any file out of its folder.

A download grows as FILE.part and becomes FILE once it is verified; one that is wrong is kept as FILE.corrupt. Unpacking
fills a folder beside the target and renames it, so a target that exists is whole.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any

from detection.data.names import leaves_root, unshowable
from detection.errors import InputError
from detection.files.bounds import MEMBER, Allowance

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60
RETRY_SECONDS = (1.0, 4.0, 16.0, 64.0)
"""waited before each further attempt; an attempt that brought bytes starts the row anew"""

MENDABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    struct.error,
)
"""What a broken archive raises, or one that unpacks to too much."""

Progress = Callable[[str, int, int | None], None]
"""(what is done, bytes so far, bytes in all or None)"""


@dataclass(frozen=True)
class Archive:
    """name: of the file; url: where it officially lies; md5: None where nobody publishes one, then the archive's own
    checksums and the server's length must do."""

    name: str
    url: str
    md5: str | None = None


def silent(task: str, done: int, total: int | None) -> None:
    """A `Progress` that says nothing."""


def obtain(
    archive: Archive,
    folder: Path,
    on_disk: Path | None = None,
    progress: Progress = silent,
    retry_seconds: tuple[float, ...] = RETRY_SECONDS,
) -> Path:
    """The verified archive: from `on_disk` (left where it is), from `folder`, or downloaded into `folder`.

    Raises InputError, one line with what to do, where it cannot be had or is not what it should be.
    """
    for place in (on_disk, folder):
        if place is not None and (place / archive.name).is_file():
            fault = verify(place / archive.name, archive.md5, progress)
            if fault:
                raise InputError(
                    f"{place / archive.name}: {fault}; delete it and run again, "
                    f"or put a good copy of {archive.url} there"
                )
            return place / archive.name
    path = folder / archive.name
    part = path.with_name(f"{archive.name}.part")
    _download(archive, part, progress, retry_seconds)
    fault = verify(part, archive.md5, progress, archive.name)
    if fault:
        corrupt = path.with_name(f"{archive.name}.corrupt")
        os.replace(part, corrupt)
        raise InputError(f"{corrupt}: the download of {archive.url} {fault}; run again to download it once more")
    os.replace(part, path)
    return path


def _download(archive: Archive, part: Path, progress: Progress, retry_seconds: tuple[float, ...]) -> None:
    """Fill `part` to the server's length, going on from what it holds."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{part.parent}: cannot be made ({error.strerror}); give another folder") from error
    waits = list(retry_seconds)
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch(archive, part, before, progress)
            return
        except _WriteError as error:
            raise InputError(
                f"{part}: cannot be written ({error}); free some space and run again; the download continues"
            ) from error
        except (OSError, HTTPException) as error:
            status = getattr(error, "code", None)
            if part.exists() and part.stat().st_size > before:
                waits = list(retry_seconds)
            if not waits or (status is not None and status not in MENDABLE_STATUS):
                reason = getattr(error, "reason", None) or str(error) or type(error).__name__
                raise InputError(
                    f"{archive.url}: cannot be fetched ({reason}); run again to continue, or put the file at "
                    f"{part.with_name(archive.name)}"
                ) from error
            time.sleep(waits.pop(0))


class _WriteError(Exception):
    """The disk, not the network, is at fault."""


def _fetch(archive: Archive, part: Path, have: int, progress: Progress) -> None:
    """One attempt. Raises OSError or HTTPException where it breaks, with `part` holding what came."""
    request = urllib.request.Request(archive.url, headers={"User-Agent": "frcnn-toolkit"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # nothing lies behind the end of what is there: it is whole, or longer than the file
            raise
        length = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if length.isdigit() and int(length) == have:
            return
        part.unlink()
        raise ConnectionError("the part on disk is longer than the file; it was dropped") from error
    with response:
        resumed = response.status == 206 and (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        start = have if resumed else 0  # a server without ranges sends everything again
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        done = _pour(response, part, start, total, archive.name, progress)
    if total is not None and done != total:
        raise ConnectionError(f"the connection broke after {done} of {total} bytes")


def _pour(response: Any, part: Path, start: int, total: int | None, name: str, progress: Progress) -> int:
    """The body behind the first `start` bytes of `part`; bytes that are there then."""
    done = start
    try:
        file = part.open("r+b" if start else "wb", buffering=0)
        file.truncate(start)
        file.seek(start)
    except OSError as error:
        raise _WriteError(error.strerror) from error
    with file:
        while chunk := response.read(CHUNK):
            try:
                file.write(chunk)
            except OSError as error:
                raise _WriteError(error.strerror) from error
            done += len(chunk)
            progress(f"fetching {name}", done, total)
    return done


def verify(path: Path, md5: str | None, progress: Progress = silent, name: str | None = None) -> str | None:
    """What is wrong with the archive, to stand behind its name, or None.

    With an MD5 the file's must equal it; without one, every member is read through: a zip's by its CRC-32, a tar's to
    the end of its headers.
    """
    name = name or path.name
    if md5 is not None:
        digest, done, total = hashlib.md5(usedforsecurity=False), 0, path.stat().st_size
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                done += len(chunk)
                progress(f"verifying {name}", done, total)
        return None if digest.hexdigest() == md5 else f"has MD5 {digest.hexdigest()} instead of {md5}"
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
            return None if bad is None else f"is damaged in {bad}"
        with tarfile.open(path) as tar:
            for member in tar:
                progress(f"verifying {name}", member.offset, path.stat().st_size)
        return None
    except (*DAMAGE, OSError) as error:
        return f"is not a complete archive ({' '.join(str(error).split())})"


def unpack(paths: Sequence[Path], target: Path, root: str, progress: Progress = silent) -> None:
    """Put what tars and zips hold below their folder `root` into the new folder `target`; the rest is left out.

    Only files and folders: a member that is a link or device, or whose name is absolute or climbs with '..', is
    refused, and so is an archive that unpacks to many times its size. Raises InputError naming archive and member;
    `target` then does not exist.
    """
    if target.exists():
        raise FileExistsError(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    path = target
    try:
        temporary.mkdir(parents=True)
        for path in paths:
            (_unzip if path.name.lower().endswith(".zip") else _untar)(path, temporary, root, progress)
        if not any(temporary.iterdir()):
            raise InputError(f"{path}: holds nothing below {root}; this is not the official archive, fetch it again")
        os.replace(temporary, target)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}: cannot be unpacked ({' '.join(str(error).split())}); fetch it again") from error
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error}); make room and run again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _place(path: Path, name: str, folder: Path, root: str) -> Path | None:
    """Where a member goes, None for one outside `root`; InputError where it would be outside `folder`."""
    if leaves_root(name) or unshowable(name) or "\\" in name:
        raise InputError(f"{path}: member {name!r} would leave its folder; fetch the official archive")
    inside = PurePosixPath(name)
    return folder / inside.relative_to(root) if inside.is_relative_to(root) else None


def _untar(path: Path, folder: Path, root: str, progress: Progress) -> None:
    # Members are written as plain files by us, which is stricter than tarfile's data filter and needs no new Python.
    size, allowance = path.stat().st_size, Allowance(path)
    with tarfile.open(path) as archive:
        for member in archive:
            allowance.spend(max(member.size, MEMBER))
            place = _place(path, member.name, folder, root)
            if not (member.isdir() or member.isreg()):
                raise InputError(f"{path}: member {member.name!r} is a link or device; fetch the official archive")
            if place is None or member.isdir():
                continue
            stream = archive.extractfile(member)
            assert stream is not None, "a regular file has content"
            with stream:
                _pour_out(stream, place)
            progress(f"unpacking {path.name}", member.offset_data + member.size, size)


def _unzip(path: Path, folder: Path, root: str, progress: Progress) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total, done, allowance = sum(member.file_size for member in members), 0, Allowance(path)
        allowance.spend(sum(max(member.file_size, MEMBER) for member in members))
        for member in members:
            place = _place(path, member.filename, folder, root)
            kind = member.external_attr >> 28  # the upper bits of st_mode: 8 is a file, 4 a folder, 0 unsaid
            if kind not in (0, 4, 8):
                raise InputError(f"{path}: member {member.filename!r} is a link or device; fetch the official archive")
            if place is None or member.is_dir():
                continue
            with archive.open(member) as stream:
                _pour_out(stream, place)
            done += member.file_size
            progress(f"unpacking {path.name}", done, total)


def _pour_out(stream: IO[bytes], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        shutil.copyfileobj(stream, file, CHUNK)
