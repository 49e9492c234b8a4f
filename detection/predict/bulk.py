"""Prediction over many images that may be interrupted: what is done is on disk, image for image.

.predictions-R.jsonl   of process R, one line a batch: {"images": [path, ...], "records": [...], "skipped": [...]}; the
                       first line of each file tells the settings. A batch is done when its line is whole.
predictions.json       the records of all lines in the order of the images, written at the end; then the lines go

Batches are those of the whole list of images, whoever takes them, since padding makes detections depend on the rest of
the batch: several processes, or a process that resumes, find what one would have found.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from detection.data.image import image_size
from detection.errors import InputError
from detection.files.atomic import cannot_write
from detection.predict.output import write_json

Line = dict[str, Any]


def batches_of(images: Sequence[Path], batch: int) -> list[list[Path]]:
    """The images, `batch` at a time; those of like shape stand together, so that little of a batch is padding."""
    if batch > 1:
        images = sorted(images, key=_aspect)
    return [list(images[i : i + batch]) for i in range(0, len(images), batch)]


def _aspect(path: Path) -> float:
    """Width by height, from the file's header; 1 for a file that cannot be read, of which its decoding will say so."""
    try:
        height, width = image_size(path)
    except InputError:
        return 1.0
    return width / height


class Done:
    """The batches in `folder` that are predicted already. Settings: whatever decides what is found in an image."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self._lines: dict[tuple[str, ...], Line] = {}

    def files(self) -> list[Path]:
        return sorted(self.folder.glob(".predictions-*.jsonl"))

    def read(self) -> None:
        """What is there. Raises `InputError` where it was predicted with other settings."""
        for path in self.files():
            lines = list(_whole_lines(path))
            if not lines:
                continue
            begun = lines[0].get("settings")
            if begun != self.settings:
                changed = sorted(
                    k for k in self.settings if not isinstance(begun, dict) or begun.get(k) != self.settings[k]
                )
                raise InputError(
                    f"{path}: was predicted with other settings ({', '.join(changed)}); use those, or leave out "
                    "--resume to begin anew"
                )
            self._lines |= {tuple(line["images"]): line for line in lines[1:]}

    def discard(self) -> int:
        """Remove what is there; how many images it had."""
        count = sum(len(line.get("images", [])) for path in self.files() for line in _whole_lines(path))
        for path in self.files():
            path.unlink(missing_ok=True)
        return count

    def has(self, images: Sequence[Path]) -> bool:
        return _key(images) in self._lines

    def merge(
        self, batches: Sequence[Sequence[Path]], images: Sequence[Path]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Write predictions.json, in the order of `images`, from the lines of all processes, which then go; the records
        and what was skipped."""
        self.read()
        lines = [self._lines[_key(images)] for images in batches]
        by_file = {record["file"]: record for line in lines for record in line["records"]}
        records = [by_file[str(path)] for path in images if str(path) in by_file]
        write_json(self.folder / "predictions.json", records)
        self.discard()
        return records, [reason for line in lines for reason in line["skipped"]]


class Writer:
    """The lines of process `rank`, to be used as a context. Raises `InputError` where they cannot be written."""

    def __init__(self, folder: Path, rank: int, settings: dict[str, Any]) -> None:
        self.path = folder / f".predictions-{rank}.jsonl"
        self.settings = settings
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Writer:
        with self._writing():
            whole = b"".join(_encode(line) for line in _whole_lines(self.path)) if self.path.exists() else b""
            self._file = self.path.open("r+b" if self.path.exists() else "w+b", buffering=0)
            self._file.truncate(len(whole))  # half a line of a killed process
            self._file.seek(0, 2)
        if not whole:
            self._append({"settings": self.settings})
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, images: Sequence[Path], records: list[dict[str, Any]], skipped: list[str]) -> None:
        """One batch."""
        self._append({"images": list(_key(images)), "records": records, "skipped": skipped})

    def _append(self, line: Line) -> None:
        assert self._file is not None
        with self._writing():
            data = _encode(line)
            if self._file.write(data) != len(data):  # what a full disk took
                raise OSError(28, "No space left on device")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path, error) from error


def _key(images: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path) for path in images)


def _encode(line: Line) -> bytes:
    # ASCII, so that file names that are not UTF-8 survive as escapes
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def _whole_lines(path: Path) -> Iterator[Line]:
    """Lines up to the first that is not whole."""
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                return
            if not text.endswith(b"\n") or not isinstance(line, dict):
                return
            yield line
