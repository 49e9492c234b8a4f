"""PASCAL VOC annotations: one XML file an image.

    ROOT/Annotations/<stem>.xml, ROOT/JPEGImages/<stem>.jpg, ROOT/ImageSets/Main/<split>.txt (one stem a line)

VOC counts pixels from 1 and its far corner is the last pixel inside, so a box of xmin 1, xmax 640 covers an image of
width 640, unless a 0 or a fraction anywhere in the dataset shows that it counts from 0. Ids are not part of the format:
images and annotations are numbered from 1 in reading order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from detection.data.columns import brief, later_copies
from detection.data.flaws import Report, reported
from detection.data.image import EXTENSIONS, image_size
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root, unshowable
from detection.data.survey import Survey
from detection.data.tally import Tally
from detection.data.voc_xml import FROM_ONE, VocFile, counts_from_zero, read_xml
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.files.documents import load_text
from detection.progress import track


def read_voc(
    root: Path,
    split: str,
    classes: tuple[str, ...] | None = None,
    report: Report | None = None,
    files: Sequence[Path] | None = None,
    others: Sequence[Path] = (),
    survey: Survey | None = None,
    images: Path | None = None,
) -> AnnotationIndex:
    """Read the images that ROOT/ImageSets/Main/<split>.txt lists; all XML files where there is no ImageSets folder.

    The XML files lie in ROOT/Annotations or in ROOT itself, the images in ROOT/JPEGImages or beside the XML files;
    else `files` are the XML files of the split, and images are looked for in all folders below ROOT (`survey`, where
    they are listed already). With `images` they are looked for there and nowhere else. others: XML files of other
    splits, which may show that pixels count from 0.

    classes: the class names in order; without them, the sorted names of this split, so give those of the training
    split when reading another. Areas are width times height. Raises InputError naming the file and object at fault;
    with `report`, a file, object or line of a list that is wrong is told to it and left out.
    """
    root = Path(root)
    tally = Tally()
    xml_folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    if files is None:
        files = [xml_folder / f"{name}.xml" for name in _stems(root, split, xml_folder, report)]
        others = others or sorted(xml_folder.glob("*.xml"))
    read: list[tuple[Path, VocFile]] = []
    for path in track(files, "reading annotations", len(files)):
        with reported(report):
            read.append((path, read_xml(path, report, tally)))
    home = root if images is None else Path(images)
    pictures = _Pictures(root, home, survey, tally)
    names = pictures.names([(path, file.filename) for path, file in read])
    read, names, sizes = _sized(home, read, names, report, tally)
    shift = 0 if _from_zero(read, others, files, tally) else 1
    flat = [item for _, file in read for item in file.objects]
    if classes is None:
        classes = tuple(sorted({item.name for item in flat}))
    labels = _labels(classes, read)
    corners = np.array([item.corners for item in flat], dtype=np.float64).reshape(-1, 4)
    xywh = np.concatenate([corners[:, :2] - shift, corners[:, 2:] - corners[:, :2] + shift], axis=1)
    return AnnotationIndex(
        root=home,
        source=root,
        class_names=classes,
        category_ids=np.arange(1, len(classes) + 1, dtype=np.int64),
        image_ids=np.arange(1, len(read) + 1, dtype=np.int64),
        file_names=np.array([name.encode() for name in names], dtype=np.bytes_),
        sizes=np.array(sizes, dtype=np.int32).reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum([len(file.objects) for _, file in read])]).astype(np.int64),
        xywh=xywh,
        labels=labels,
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(1, len(flat) + 1, dtype=np.int64),
        crowd=np.zeros(len(flat), dtype=bool),
        difficult=np.array([item.difficult for item in flat], dtype=bool),
        notes=tally.lines(),
    )


def _sized(
    root: Path, read: list[tuple[Path, VocFile]], names: list[str], report: Report | None, tally: Tally
) -> tuple[list[tuple[Path, VocFile]], list[str], list[tuple[int, int]]]:
    """The files whose size is known, from the image's header where they do not say it, with image names and sizes."""
    kept, kept_names, sizes = [], [], []
    for (path, file), name in zip(read, names, strict=True):
        with reported(report):
            size = file.size
            if size is None:
                if not os.path.isfile(root / name):
                    given = f"<size> is {file.zero}" if file.zero else "has no <size>"
                    raise InputError(f"{path}: {given}, and no image to take it from; add width and height")
                size = image_size(root / name)
                tally.add("sizes were missing or zero: read from the images", str(path))
            kept.append((path, file))
            kept_names.append(name)
            sizes.append(size)
    return kept, kept_names, sizes


def _from_zero(read: list[tuple[Path, VocFile]], others: Sequence[Path], files: Sequence[Path], tally: Tally) -> bool:
    """Whether the pixels of the dataset, in whatever split, count from 0, so that boxes are not shifted.

    A 0 or a fraction anywhere shows it: VOC and labelImg count whole pixels from 1. The devkit itself has a few
    fractions, so those show nothing in files that say they are of its kind.
    """
    shown = next((path for path, file in read if file.from_zero), None)
    if shown is None and not any(file.devkit for _, file in read):
        own = set(files)
        shown = next((path for path in others if path not in own and counts_from_zero(path)), None)
    if shown is not None:
        tally.say(f"pixels count from 0, as a coordinate of 0 or a fraction shows: boxes are not shifted ({shown})")
    return shown is not None


def stem(index: AnnotationIndex, i: int) -> str:
    """The name VOC knows image i by: its file name without folder and extension."""
    return PurePosixPath(index.file_names[i].decode()).stem


def write_voc(index: AnnotationIndex, folder: Path, split: str = "train") -> None:
    """Write FOLDER/Annotations/*.xml and FOLDER/ImageSets/Main/<split>.txt; images belong in FOLDER/JPEGImages.

    COCO crowds are written as difficult objects, which VOC ignores likewise. Raises InputError where two images share
    a stem, since their XML files would be one.
    """
    folder = Path(folder)
    stems = index.stems()
    for i, name in enumerate(stems):
        write_atomically(folder / "Annotations" / f"{name}.xml", _to_xml(index, i))
    lines = "".join(f"{name}\n" for name in stems)
    write_atomically(folder / "ImageSets" / "Main" / f"{split}.txt", lines.encode())


def _stems(root: Path, split: str, xml_folder: Path, report: Report | None) -> list[str]:
    if not (root / "ImageSets").is_dir():
        stems = sorted(path.stem for path in xml_folder.glob("*.xml"))
        return [name for name in stems if _fits(name, f"{xml_folder}", xml_folder, report)]
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    lines = load_text(listing, "a list of the images of the split").splitlines()
    named = [(number, _listed(line, xml_folder)) for number, line in enumerate(lines, 1) if line.strip()]
    stems = [name for number, name in named if _fits(name, f"{listing}:{number}", xml_folder, report)]
    if len(set(stems)) < len(stems):
        number, name = named[later_copies([name for _, name in named])[0]]
        with reported(report):
            raise InputError(f"{listing}:{number}: {name!r} is listed twice; delete one of the lines")
    return list(dict.fromkeys(stems))


def _listed(line: str, xml_folder: Path) -> str:
    """The image of a line: all of it, or what stands before a second column (1, 0 or -1 in the lists of a class) or
    before the ending, where only that has an XML file."""
    whole = line.strip()
    first = re.sub(r"\s+-?[01]$", "", whole)
    for name in (whole, first, os.path.splitext(first)[0]):
        if not leaves_root(name) and os.path.isfile(xml_folder / f"{name}.xml"):
            return name
    return first


def _fits(name: str, where: str, xml_folder: Path, report: Report | None) -> bool:
    """Whether there is an XML file of this name, which may not lead elsewhere."""
    with reported(report):
        if leaves_root(name) or unshowable(name):
            raise InputError(f"{where}: {name!r} is not an image name; list UTF-8 file names without folder")
        if os.path.exists(xml_folder / f"{name}.xml") and not os.path.isfile(xml_folder / f"{name}.xml"):
            raise InputError(f"{xml_folder / name}.xml: is no file but a folder, pipe or device; remove it")
        if not os.path.isfile(xml_folder / f"{name}.xml"):
            raise InputError(f"{where}: {name!r} has no {xml_folder / name}.xml; add it or delete the line")
        return True
    return False


class _Pictures:
    """Finds the image of each XML file: that of its name, in VOC's folders first, then in any; where there is none,
    that which its <filename> means, which often is what the image was called before it was renamed."""

    def __init__(self, root: Path, home: Path, survey: Survey | None, tally: Tally) -> None:
        """home: the folder that names of images start from; the root, or another one that holds them all."""
        self.root, self.home, self.tally, self._survey = root, home, tally, survey

    def names(self, files: list[tuple[Path, str]]) -> list[str]:
        """The image of each (XML file, <filename>), relative to home; <stem>.jpg where there is none."""
        listed: dict[Path, dict[str, str]] = {}
        found = []
        for path, filename in files:
            folder = self.root / "JPEGImages" if (self.root / "JPEGImages").is_dir() else path.parent
            folder = folder if self.home == self.root else self.home
            if folder not in listed:
                listed[folder] = _images_of(folder)
            prefix = "" if folder == self.home else f"{folder.relative_to(self.home).as_posix()}/"
            stem_ = path.name[: -len(path.suffix)]
            name = listed[folder].get(stem_)
            found.append(prefix + name if name else self._elsewhere(path, filename) or f"{prefix}{stem_}.jpg")
        return found

    def _elsewhere(self, path: Path, filename: str) -> str | None:
        if self._survey is None:
            self._survey = Survey(self.home)
        near = path.parent.relative_to(self.root).as_posix()
        match = self._survey.find(path.stem, near)
        if match is None:
            match = self._survey.find(filename, near)
            if match is not None:
                self.tally.add("XML files name an image otherwise than themselves: taken by <filename>", str(path))
        return None if match is None else match[0]


def _images_of(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        base, extension = os.path.splitext(name)
        if extension.lower() in EXTENSIONS:
            found.setdefault(base, name)
    return found


def _labels(classes: tuple[str, ...], read: list[tuple[Path, VocFile]]) -> np.ndarray:
    number = {name: label for label, name in enumerate(classes)}
    labels = []
    for path, file in read:
        for position, item in enumerate(file.objects, 1):
            if item.name not in number:
                raise InputError(
                    f"{path}: object {position}: class {brief(item.name)} is not one of"
                    f" {', '.join(classes)}; correct the name or add the class"
                )
            labels.append(number[item.name])
    return np.array(labels, dtype=np.int64)


def _to_xml(index: AnnotationIndex, i: int) -> bytes:
    height, width = index.sizes[i].tolist()
    tree = Element("annotation")
    _add(tree, "filename", PurePosixPath(index.file_names[i].decode()).name)
    _add(_add(tree, "source"), "annotation", FROM_ONE)
    size = _add(tree, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, tag, str(value))
    for row in range(index.rows(i).start, index.rows(i).stop):
        item = _add(tree, "object")
        _add(item, "name", index.class_names[index.labels[row]])
        _add(item, "difficult", str(int(index.difficult[row] or index.crowd[row])))
        x, y, w, h = index.xywh[row].tolist()
        box = _add(item, "bndbox")
        for tag, corner in (("xmin", x + 1), ("ymin", y + 1), ("xmax", x + w), ("ymax", y + h)):
            _add(box, tag, f"{corner:.12g}")
    ElementTree.indent(tree)
    return bytes(ElementTree.tostring(tree, encoding="utf-8"))


def _add(parent: Element, tag: str, text: str | None = None) -> Element:
    child = ElementTree.SubElement(parent, tag)
    child.text = text
    return child
