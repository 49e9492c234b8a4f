"""Detections in the forms of other tools: as labels to correct, as a table, as a dataset.

records  what `to_records` gives, one an image; names  the file name, without its ending, that an image goes by here
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from xml.etree import ElementTree

from detection.files.atomic import write_atomically

Record = dict[str, Any]
Writer = Callable[[Path, Sequence[Record], Mapping[str, str], Sequence[str]], list[Path]]


def write_forms(
    folder: Path, forms: Sequence[str], records: Sequence[Record], names: Mapping[str, str], classes: Sequence[str]
) -> dict[str, list[Path]]:
    """Write each of the `forms`, keys of `FORMS`, below `folder`; the files of each. names: file of an image -> name.
    Raises `InputError` where they cannot be written."""
    return {form: FORMS[form](folder, records, names, classes) for form in forms}


def _save(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return path


def _coco(folder: Path, records: Sequence[Record], names: Mapping[str, str], classes: Sequence[str]) -> list[Path]:
    """coco.json: a dataset whose annotations carry their score."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        height, width = record["size"]
        images.append({"id": number, "file_name": record["file"], "height": height, "width": width})
        for found in record["detections"]:
            x1, y1, x2, y2 = found["box"]
            box = [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": found["label"] + 1}
            area = round(box[2] * box[3], 3)
            annotations.append({**annotation, "bbox": box, "area": area, "iscrowd": 0, "score": found["score"]})
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return [_save(folder / "coco.json", json.dumps(content))]


def _csv(folder: Path, records: Sequence[Record], names: Mapping[str, str], classes: Sequence[str]) -> list[Path]:
    """detections.csv: a row each."""
    with io.StringIO(newline="") as text:
        table = csv.writer(text)
        table.writerow(["image", "class", "score", "x1", "y1", "x2", "y2"])
        for record in records:
            for found in record["detections"]:
                table.writerow([record["file"], found["class"], found["score"], *found["box"]])
        return [_save(folder / "detections.csv", text.getvalue())]


def _yolo(folder: Path, records: Sequence[Record], names: Mapping[str, str], classes: Sequence[str]) -> list[Path]:
    """labels/NAME.txt, with the score behind each box as Ultralytics writes it, and labels/classes.txt."""
    files = [_save(folder / "labels" / "classes.txt", "".join(f"{name}\n" for name in classes))]
    for record in records:
        height, width = record["size"]
        lines = []
        for found in record["detections"]:
            x1, y1, x2, y2 = found["box"]
            shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
            lines.append(f"{found['label']} {' '.join(f'{share:.8f}' for share in shares)} {found['score']}\n")
        files.append(_save(folder / "labels" / f"{names[record['file']]}.txt", "".join(lines)))
    return files


def _voc(folder: Path, records: Sequence[Record], names: Mapping[str, str], classes: Sequence[str]) -> list[Path]:
    """Annotations/NAME.xml, in VOC's whole pixels that count from 1, as labelImg and CVAT take them."""
    files = []
    for record in records:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = PurePath(record["file"]).name
        ElementTree.SubElement(root, "path").text = record["file"]
        size = ElementTree.SubElement(root, "size")
        for key, value in zip(("width", "height", "depth"), (record["size"][1], record["size"][0], 3)):
            ElementTree.SubElement(size, key).text = str(value)
        for found in record["detections"]:
            thing = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(thing, "name").text = found["class"]
            ElementTree.SubElement(thing, "score").text = str(found["score"])
            box = ElementTree.SubElement(thing, "bndbox")
            x1, y1, x2, y2 = (round(edge) for edge in found["box"])
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, max(x2, x1 + 1), max(y2, y1 + 1))):
                ElementTree.SubElement(box, key).text = str(value)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode") + "\n"
        files.append(_save(folder / "Annotations" / f"{names[record['file']]}.xml", text))
    return files


def _labelme(folder: Path, records: Sequence[Record], names: Mapping[str, str], classes: Sequence[str]) -> list[Path]:
    """labelme/NAME.json, whose imagePath names the image."""
    files = []
    for record in records:
        shapes: list[dict[str, Any]] = [
            {
                "label": found["class"],
                "points": [found["box"][:2], found["box"][2:]],
                "group_id": None,
                "description": f"score {found['score']:.3f}",
                "shape_type": "rectangle",
                "flags": {},
            }
            for found in record["detections"]
        ]
        height, width = record["size"]
        content: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes}
        content["imagePath"] = str(Path(record["file"]).absolute())
        content |= {"imageData": None, "imageHeight": height, "imageWidth": width}
        files.append(_save(folder / "labelme" / f"{names[record['file']]}.json", json.dumps(content, indent=1)))
    return files


FORMS: dict[str, Writer] = {"coco": _coco, "csv": _csv, "yolo": _yolo, "voc": _voc, "labelme": _labelme}
