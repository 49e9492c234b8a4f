"""A dataset as it was downloaded: an archive or shards, unpacked beside themselves once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from detection.data.archives import unpack
from detection.data.names import split_name
from detection.data.parquet import lay_out
from detection.data.survey import Survey
from detection.errors import InputError
from detection.files.bounds import TooLargeError
from detection.progress import track

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def unpacked(path: Path) -> Path:
    """The folder that holds what the archive `path`, or the only file of the folder `path`, unpacks to; any other path
    as it is. What was unpacked before is taken as it is. Raises InputError as `unpack` does."""
    if path.is_dir():
        inside = [item for item in sorted(path.iterdir()) if not item.name.startswith(".")]
        archives = [item for item in inside if _is_archive(item)]
        if len(archives) != 1 or any(item != archives[0] and item != _target(archives[0]) for item in inside):
            return path
        path = archives[0]
    if not _is_archive(path):
        return path
    target = _target(path)
    if not target.exists():
        unpack([path], target, "")
    return target


def unpacked_shards(path: Path, survey: Survey) -> Path | None:
    """The folder that the shards at `path` unpack to, once: parquet files, or tars of WebDataset, whose samples are
    files of one stem. None where there are neither. Raises InputError as `lay_out` and `unpack` do."""
    parquet, tars = ([survey.root / name for name in survey.others[ending]] for ending in (".parquet", ".tar"))
    if path.is_file():
        parquet = [path] if path.suffix.lower() == ".parquet" else []
    if not parquet and (not tars or path.is_file()):
        return None
    target = path.with_name(f"{path.stem if path.is_file() else path.resolve().name}.unpacked")
    if parquet:
        return _laid_out(path, target, lambda folder: lay_out(parquet, folder))

    def unpack_tars(folder: Path) -> None:
        for tar in track(tars, "unpacking shards", len(tars)):
            # A folder each: nothing says that the names of two shards are apart. One above for those of a split.
            unpack([tar], folder / (split_name(tar.stem) or "train") / tar.stem, "")

    return _laid_out(path, target, unpack_tars)


def parquet_images(path: Path) -> Path:
    """The folder that the images of a parquet file unpack to, once, whatever else is in it. Raises InputError as
    `lay_out` does."""
    return _laid_out(path, path.with_name(f"{path.stem}.images"), lambda folder: lay_out([path], folder, objects=False))


def _laid_out(path: Path, target: Path, write: Callable[[Path], None]) -> Path:
    """`target`, where `write` writes, unless it is there already; it is there whole or not at all."""
    if target.exists():
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        write(temporary)
        os.replace(temporary, target)
    except TooLargeError as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); unpack it by hand if that is right") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def _target(archive: Path) -> Path:
    ending = next(ending for ending in ENDINGS[::-1] if archive.name.lower().endswith(ending))
    return archive.with_name(f"{archive.name[: -len(ending)]}.unpacked")
