"""From a path to image sets: torchvision's CIFAR files, a tree of class folders, or a tar of such a tree.

A tree is {train,val,test}/<class>/images, or <class>/images for the one split `train`. Images may lie deeper below
their class; hidden files and other files are passed over.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from detection.classify.images import ImageSet, planes
from detection.errors import InputError
from detection.files.bounds import Allowance, BoundedStream, TooLargeError
from detection.files.decode import decoding
from detection.printable import UNPRINTABLE

SPLITS = ("train", "val", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
"""What counts as an image, in any case."""

LAYOUTS = "{train,val,test}/<class>/images, <class>/images, or torchvision's cifar-10-batches-py or cifar-100-python"

OPENERS: dict[str, Callable[[Path], BufferedIOBase]] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".tar.xz": lzma.LZMAFile,
    ".tar.bz2": bz2.BZ2File,
}
ARCHIVE_LIMIT = 8 << 30
"""Bytes of images that are read from a tar."""

HELD_SIDE = 128
HELD_BYTES = 2 << 30
"""Images of one size are held decoded where no side is above the first, and all of them are within the second."""

CIFAR_FOLDERS = {"cifar-10-batches-py": "CIFAR10", "cifar-100-python": "CIFAR100"}

Listing = Mapping[str, list[str]]
"""Class -> the names of its images."""
Parts = tuple[str, ...]
"""The folders and the name in a path."""


@dataclass(frozen=True)
class ClassDataset:
    """Where images come from. splits: what `read` accepts."""

    path: Path
    splits: tuple[str, ...]
    load: Callable[[str, tuple[str, ...] | None], ImageSet]

    def read(self, split: str, class_names: tuple[str, ...] | None = None) -> ImageSet:
        """The images of a split, sorted by class and name; labels follow `class_names`, default the train split's.

        Raises `InputError` for an unknown split, classes other than those, and images that do not decode.
        """
        if split not in self.splits:
            raise InputError(f"{self.path}: there is no split {split!r}; it has {', '.join(self.splits)}")
        return self.load(split, class_names)


def open_dataset(path: Path) -> ClassDataset:
    """The source at `path`, of the kind that is found there. A tar is read whole, once, here.

    Raises `InputError` where the path is missing, is of no known kind, or the tar is broken or too large.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    if not path.is_dir():
        return _tar_source(path)
    cifar = [name for name in CIFAR_FOLDERS if path.name == name or (path / name).is_dir()]
    if len(cifar) > 1:
        raise InputError(f"{path}: holds {' and '.join(cifar)}; give the path of one of them")
    if cifar:
        root = path.parent if path.name == cifar[0] else path
        return ClassDataset(path, ("train", "test"), partial(_read_cifar, path, root, CIFAR_FOLDERS[cifar[0]]))
    return _folder_source(path)


def _read_cifar(path: Path, root: Path, kind: str, split: str, class_names: tuple[str, ...] | None) -> ImageSet:
    """CIFAR-10 or -100 through torchvision: the files are pickles, which may run code when they are read, and
    torchvision compares their MD5 with the published ones before it opens them."""
    from torchvision import datasets

    try:
        data = getattr(datasets, kind)(str(root), train=split == "train", download=False)
    except Exception as error:  # RuntimeError for a wrong hash; whatever pickle and the file system raise
        raise InputError(
            f"{path}: the {kind} files are incomplete or differ from the published ones ({_line(error)}); "
            "unpack the original archive again"
        ) from error
    known = class_names or tuple(data.classes)
    _check_classes(f"{path} {split}", known, data.classes)
    labels = np.array([known.index(name) for name in data.classes], dtype=np.int64)[np.asarray(data.targets)]
    pixels = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))
    return ImageSet(known, labels, [f"{path} {split} image {i}" for i in range(len(labels))], pixels)


def _folder_source(path: Path) -> ClassDataset:
    tops = _subfolders(path)
    splits = tuple(s for s in SPLITS if s in tops)
    if "train" in splits or (splits and len(splits) == len(tops)):
        roots = {split: path / split for split in splits}
    else:
        roots = {"train": path}
    classes = {split: _subfolders(root) for split, root in roots.items()}
    if not any(classes.values()):
        raise InputError(f"{path}: no images found; expected {LAYOUTS}")

    def load(split: str, class_names: tuple[str, ...] | None) -> ImageSet:
        listing = {name: _folder_images(roots[split], name) for name in classes[split]}
        names = class_names or tuple(classes.get("train", classes[split]))
        return _assemble(str(path), split, names, listing, roots[split])

    return ClassDataset(path, tuple(roots), load)


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _folder_images(root: Path, name: str) -> list[str]:
    """Paths below `root` of the images in its folder `name`."""
    found: list[str] = []
    for parent, inner, files in os.walk(root / name, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        below = os.path.relpath(parent, root)
        found += [os.path.join(below, file) for file in files if _is_image(file)]
    return sorted(found)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _tar_source(path: Path) -> ClassDataset:
    suffix = next((s for s in OPENERS if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise InputError(f"{path}: neither a folder nor one of {', '.join(OPENERS)}; expected {LAYOUTS}")
    try:
        with OPENERS[suffix](path) as stream:
            members = dict(_tar_members(path, stream))
    except TooLargeError as error:
        raise InputError(f"{path}: {error}, many times its size; unpack it and give the folder") from error
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{path}: the archive is broken ({_line(error)}); fetch or pack it again") from error
    trees = _trees(path.name, members)
    if not any(images for tree in trees.values() for images in tree.values()):
        raise InputError(f"{path}: no images found; expected {LAYOUTS}")
    contents = {_label(path.name, parts): data for parts, data in members.items() if data is not None}

    def load(split: str, class_names: tuple[str, ...] | None) -> ImageSet:
        names = class_names or tuple(trees.get("train", trees[split]))
        return _assemble(path.name, split, names, trees[split], contents)

    return ClassDataset(path, tuple(s for s in SPLITS if s in trees), load)


def _trees(archive: str, members: Mapping[Parts, bytes | None]) -> dict[str, dict[str, list[str]]]:
    """Split -> class -> names of images, from the contents of a tar; a folder's content is None."""
    images = [parts for parts, data in members.items() if data is not None]
    tops = {parts[0] for parts in images}
    below = int(len(tops) == 1 and not tops & set(SPLITS) and all(len(parts) > 2 for parts in images))
    by_split = "train" in {p[below] for p in images} or all(p[below] in SPLITS for p in images)
    trees: dict[str, dict[str, list[str]]] = {}
    for parts, data in sorted(members.items(), key=lambda member: member[0]):
        inner = parts[below:] if by_split else ("train", *parts[below:])
        if len(inner) < (2 if data is None else 3) or inner[0] not in SPLITS or (below and parts[0] not in tops):
            continue
        names = trees.setdefault(inner[0], {}).setdefault(inner[1], [])
        if data is not None:
            names.append(_label(archive, parts))
    return trees


def _label(archive: str, parts: Parts) -> str:
    return f"{archive}: {'/'.join(parts)}"


def _tar_members(path: Path, stream: BufferedIOBase) -> Iterator[tuple[Parts, bytes | None]]:
    """Name and content of every image, and of every folder with None.

    A name is only ever a label: nothing is unpacked, so none can reach the file system.
    """
    total = 0
    if path.suffix == ".tar":
        _check_end(stream)
    bounded, allowance = BoundedStream(stream, Allowance(path)), Allowance(path)
    with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            parts = tuple(p for p in member.name.split("/") if p not in ("", "."))
            if not parts or any(p.startswith(".") or p == "__MACOSX" for p in parts):
                continue
            if member.isdir():
                yield parts, None
            if member.isdir() or not _is_image(parts[-1]):
                continue
            if member.islnk() or member.issym():
                raise InputError(f"{path.name}: {member.name} is a link; pack the files themselves (tar --dereference)")
            allowance.spend(member.size)  # a sparse member is larger than what the stream holds of it
            total += member.size
            if total > ARCHIVE_LIMIT:
                raise InputError(
                    f"{path}: more than {ARCHIVE_LIMIT / 2**30:g} GiB of images; unpack it and give the folder"
                )
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                data = content.read()
                if len(data) != member.size:
                    raise EOFError(f"{member.name} ends early")
                yield parts, data
    # tarfile takes the end of the file for the end of the archive: only a decompressor knows that a file was cut.
    while bounded.read(1 << 20):
        pass


def _check_end(stream: BufferedIOBase) -> None:
    """Raise `EOFError` where an uncompressed tar lacks its mark of two empty blocks: cut between two images, it would
    pass for a smaller one."""
    stream.seek(max(stream.seek(0, os.SEEK_END) - 1024, 0))
    if stream.read(1024).strip(b"\0"):
        raise EOFError("it has no end mark")
    stream.seek(0)


def _assemble(
    where: str, split: str, known: tuple[str, ...], listing: Listing, held: Path | Mapping[str, bytes]
) -> ImageSet:
    """The set of a split whose classes must be `known`. held: the folder below which the names lie, or their files."""
    _check_classes(f"{where} {split}", known, listing)
    label_of = {name: label for label, name in enumerate(known)}
    names = [image for name in sorted(listing) for image in listing[name]]
    if not names:
        raise InputError(f"{where}: no images found in {split}; expected {LAYOUTS}")
    empty = [name for name in listing if not listing[name]] if split == "train" else []
    if empty:
        raise InputError(f"{where}: no images of {_few(empty)} in {split}; add some or remove the folder")
    ordered = [label_of[name] for name in sorted(listing)]
    labels = np.repeat(np.array(ordered, dtype=np.int64), [len(listing[name]) for name in sorted(listing)])
    images = ImageSet(known, labels, names, None, held if isinstance(held, Path) else [held[name] for name in names])
    pixels = decode_equal(images)
    return images if pixels is None else ImageSet(known, labels, [images.called(i) for i in range(len(names))], pixels)


def _check_classes(where: str, known: Sequence[str], found: Sequence[str] | Listing) -> None:
    hidden = next((name for name in found if UNPRINTABLE.search(name)), None)
    if hidden is not None:
        raise InputError(f"{where}: class {hidden!r} has control characters in its name; rename the folder")
    missing, unknown = [n for n in known if n not in found], sorted(set(found) - set(known))
    if missing or unknown:
        wrong = [f"{what} {_few(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise InputError(f"{where}: classes {' and '.join(wrong)}; every split needs the same class folders")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def decode_equal(images: ImageSet) -> np.ndarray | None:
    """(N, 3, H, W) uint8 where all images have one size and are small enough to hold decoded, else None."""
    count = len(images)
    with decoding(images.called(0)), images.picture(0) as first:
        width, height = first.size
    if max(width, height) > HELD_SIDE or count * 3 * height * width > HELD_BYTES:
        return None
    pixels = np.empty((count, 3, height, width), dtype=np.uint8)

    def decode(rows: range) -> bool:
        for i in rows:
            with decoding(images.called(i)), images.picture(i) as picture:
                if picture.size != (width, height):
                    return False
                pixels[i] = planes(picture)
        return True

    # Pillow decodes outside the interpreter's lock; a thousand images a task keep the queue from costing more.
    chunks = [range(i, min(i + 1000, count)) for i in range(0, count, 1000)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pixels if all(pool.map(decode, chunks)) else None
