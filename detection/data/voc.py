"""PASCAL VOC annotations: one XML file an image.

    ROOT/Annotations/<stem>.xml, ROOT/JPEGImages/<stem>.jpg, ROOT/ImageSets/Main/<split>.txt (one stem a line)

VOC counts pixels from 1 and its far corner is the last pixel inside, so a box of xmin 1, xmax 640 covers an image of
width 640. Ids are not part of the format: images and annotations are numbered from 1 in reading order.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detection.atomic import write_atomically
from detection.data.columns import FARTHEST, Report, brief, later_copies
from detection.data.image import EXTENSIONS
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root, unshowable
from detection.errors import InputError

LARGEST = 64 << 20
"""bytes of one image's XML"""


class _Object(NamedTuple):
    name: str
    xywh: tuple[float, float, float, float]
    difficult: bool


def read_voc(
    root: Path, split: str, classes: tuple[str, ...] | None = None, report: Report | None = None
) -> AnnotationIndex:
    """Read the images that ROOT/ImageSets/Main/<split>.txt lists; all XML files where there is no ImageSets folder.

    The XML files lie in ROOT/Annotations or in ROOT itself, the images in ROOT/JPEGImages or beside the XML files.
    classes: the class names in order; without them, the sorted names of this split, so give those of the training
    split when reading another. Areas are width times height. Raises InputError naming the file and object at fault;
    with `report`, a file, object or line of a list that is wrong is told to it and left out.
    """
    root = Path(root)
    xml_folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    stems, sizes, objects = [], [], []
    for stem_ in _stems(root, split, xml_folder, report):
        with _told(report):
            size, found = _read_xml(xml_folder / f"{stem_}.xml", report)
            stems.append(stem_)
            sizes.append(size)
            objects.append(found)
    names = _image_names(root, xml_folder, stems)
    if classes is None:
        classes = tuple(sorted({item.name for found in objects for item in found}))
    labels = _labels(classes, stems, objects, xml_folder)
    flat = [item for found in objects for item in found]
    xywh = np.array([item.xywh for item in flat], dtype=np.float64).reshape(-1, 4)
    return AnnotationIndex(
        root=root,
        source=root,
        class_names=classes,
        category_ids=np.arange(1, len(classes) + 1, dtype=np.int64),
        image_ids=np.arange(1, len(stems) + 1, dtype=np.int64),
        file_names=np.array([name.encode() for name in names], dtype=np.bytes_),
        sizes=np.array(sizes, dtype=np.int32).reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum([len(found) for found in objects])]).astype(np.int64),
        xywh=xywh,
        labels=labels,
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(1, len(flat) + 1, dtype=np.int64),
        crowd=np.zeros(len(flat), dtype=bool),
        difficult=np.array([item.difficult for item in flat], dtype=bool),
    )


@contextlib.contextmanager
def _told(report: Report | None) -> Iterator[None]:
    """Where there is a `report`, what is wrong within is told to it rather than raised."""
    try:
        yield
    except InputError as error:
        if report is None:
            raise
        report(str(error))


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
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: cannot be read ({error}); it must list the images of the split") from error
    named = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    stems = [name for number, name in named if _fits(name, f"{listing}:{number}", xml_folder, report)]
    if len(set(stems)) < len(stems):
        number, name = named[later_copies([name for _, name in named])[0]]
        with _told(report):
            raise InputError(f"{listing}:{number}: {name!r} is listed twice; delete one of the lines")
    return list(dict.fromkeys(stems))


def _fits(name: str, where: str, xml_folder: Path, report: Report | None) -> bool:
    """Whether there is an XML file of this name, which may not lead elsewhere."""
    with _told(report):
        if leaves_root(name) or unshowable(name):
            raise InputError(f"{where}: {name!r} is no image name; list UTF-8 file names without folder")
        if not os.path.isfile(xml_folder / f"{name}.xml"):
            raise InputError(f"{where}: {name!r} has no {xml_folder / name}.xml; add it or delete the line")
        return True
    return False


def _image_names(root: Path, xml_folder: Path, stems: list[str]) -> list[str]:
    """The image file of each stem, relative to root; <stem>.jpg where there is none.

    By listing the folder: the <filename> in the XML often is what the file was called before it was renamed.
    """
    folder = root / "JPEGImages" if (root / "JPEGImages").is_dir() else xml_folder
    found: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        base, extension = os.path.splitext(name)
        if extension.lower() in EXTENSIONS:
            found.setdefault(base, name)
    prefix = "" if folder == root else f"{folder.name}/"
    return [prefix + found.get(name, f"{name}.jpg") for name in stems]


def _labels(classes: tuple[str, ...], stems: list[str], objects: list[list[_Object]], xml_folder: Path) -> np.ndarray:
    number = {name: label for label, name in enumerate(classes)}
    labels = []
    for name, found in zip(stems, objects, strict=True):
        for position, item in enumerate(found, 1):
            if item.name not in number:
                raise InputError(
                    f"{xml_folder / name}.xml: object {position}: class {brief(item.name)} is not one of"
                    f" {', '.join(classes)}; correct the name or add the class"
                )
            labels.append(number[item.name])
    return np.array(labels, dtype=np.int64)


def _read_xml(path: Path, report: Report | None) -> tuple[tuple[int, int], list[_Object]]:
    """((height, width), objects) of one file."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: is larger than {LARGEST >> 20} MiB; it must hold the objects of one image")
        tree = fromstring(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    except InputError:
        raise
    # ValueError and LookupError: an encoding that the file declares and Python does not know
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InputError(f"{path}: not a plain XML file ({error}); write it again") from error
    if tree.find("size") is None:
        raise InputError(f"{path}: has no <size>; add <size> with the image's width and height")
    height, width = (_number(tree, f"size/{side}", f"{path}") for side in ("height", "width"))
    if min(height, width) < 1 or max(height, width) >= 2**31 or height % 1 or width % 1:
        raise InputError(f"{path}: <size> is {width:g}x{height:g}; it must be whole pixels, 1 or more")
    objects = []
    for number, item in enumerate(tree.findall("object"), 1):
        with _told(report):
            objects.append(_read_object(item, f"{path}: object {number}"))
    return (int(height), int(width)), objects


def _read_object(item: Element, where: str) -> _Object:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where}: has no <name>; add the class name")
    if unshowable(name):
        raise InputError(f"{where}: its <name> has control characters; rename the class")
    x1, y1, x2, y2 = (_number(item, f"bndbox/{side}", f"{where} ({name})") for side in ("xmin", "ymin", "xmax", "ymax"))
    difficult = (item.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        raise InputError(f"{where} ({name}): <difficult> is {difficult!r}; it must be 0 or 1")
    return _Object(name, (x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1), difficult == "1")


def _number(item: Element, tag: str, where: str) -> float:
    text = item.findtext(tag)
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    if not abs(value) < FARTHEST:
        given = "is missing" if text is None else f"is {brief(text.strip())}"
        raise InputError(f"{where}: <{tag}> {given}; it must be a number of pixels")
    return value


def _to_xml(index: AnnotationIndex, i: int) -> bytes:
    height, width = index.sizes[i].tolist()
    tree = Element("annotation")
    _add(tree, "filename", PurePosixPath(index.file_names[i].decode()).name)
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
