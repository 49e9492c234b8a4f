"""A dataset as it was downloaded: an archive, unpacked beside itself once."""

from __future__ import annotations

from pathlib import Path

from detection.data.archives import unpack

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


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def _target(archive: Path) -> Path:
    ending = next(ending for ending in ENDINGS[::-1] if archive.name.lower().endswith(ending))
    return archive.with_name(f"{archive.name[: -len(ending)]}.unpacked")
