"""PASCAL VOC annotations: one XML file an image.

    ROOT/Annotations/<stem>.xml, ROOT/JPEGImages/<stem>.jpg, ROOT/ImageSets/Main/<split>.txt (one stem a line)

VOC counts pixels from 1 and its far corner is the last pixel inside, so a box of xmin 1, xmax 640 covers an image of
width 640. Ids are not part of the format: images and annotations are numbered from 1 in reading order.
"""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detection.atomic import write_atomically
from detection.data.coco import leaves_root
from detection.data.image import EXTENSIONS
from detection.data.index import AnnotationIndex
from detection.errors import InputError


class _Object(NamedTuple):
    name: str
    xywh: tuple[float, float, float, float]
    difficult: bool


def read_voc(root: Path, split: str, classes: tuple[str, ...] | None = None) -> AnnotationIndex:
    """Read the images that ROOT/ImageSets/Main/<split>.txt lists; all XML files where there is no ImageSets folder.

    The XML files lie in ROOT/Annotations or in ROOT itself, the images in ROOT/JPEGImages or beside the XML files.
    classes: the class names in order; without them, the sorted names of this split, so give those of the training
    split when reading another. Areas are width times height. Raises InputError naming the file and object at fault.
    """
    root = Path(root)
    xml_folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    stems = _stems(root, split, xml_folder)
    names = _image_names(root, xml_folder, stems)
    sizes, objects = [], []
    for stem_ in stems:
        size, found = _read_xml(xml_folder / f"{stem_}.xml")
        sizes.append(size)
        objects.append(found)
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


def _stems(root: Path, split: str, xml_folder: Path) -> list[str]:
    if not (root / "ImageSets").is_dir():
        return sorted(path.stem for path in xml_folder.glob("*.xml"))
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: cannot be read ({error}); it must list the images of the split") from error
    stems = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name:
            continue
        if leaves_root(name):
            raise InputError(f"{listing}:{number}: {name!r} is no image name; list file names without folder")
        if not (xml_folder / f"{name}.xml").is_file():
            raise InputError(f"{listing}:{number}: {name!r} has no {xml_folder / name}.xml; add it or delete the line")
        stems.append(name)
    return stems


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
                    f"{xml_folder / name}.xml: object {position}: class {item.name!r} is not one of"
                    f" {', '.join(classes)}; correct the name or add the class"
                )
            labels.append(number[item.name])
    return np.array(labels, dtype=np.int64)


def _read_xml(path: Path) -> tuple[tuple[int, int], list[_Object]]:
    """((height, width), objects) of one file."""
    try:
        tree = fromstring(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise InputError(f"{path}: not a plain XML file ({error}); write it again") from error
    if tree.find("size") is None:
        raise InputError(f"{path}: has no <size>; add <size> with the image's width and height")
    height, width = (_number(tree, f"size/{side}", f"{path}") for side in ("height", "width"))
    if min(height, width) < 1 or max(height, width) >= 2**31 or height % 1 or width % 1:
        raise InputError(f"{path}: <size> is {width:g}x{height:g}; it must be whole pixels, 1 or more")
    objects = [_read_object(item, f"{path}: object {n}") for n, item in enumerate(tree.findall("object"), 1)]
    return (int(height), int(width)), objects


def _read_object(item: Element, where: str) -> _Object:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where}: has no <name>; add the class name")
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
    if not math.isfinite(value):
        given = "is missing" if text is None else f"is {text.strip()!r}"
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
