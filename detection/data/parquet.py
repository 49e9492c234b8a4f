"""HuggingFace's parquet files: images and their objects in tables, laid out once as an image folder.

image     a struct of `bytes` and `path`
objects   a struct of lists, or a list of structs: `bbox` as COCO has it, and the class by number or name
names     of the classes, in the schema's own word of its features
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from detection.data.formats.huggingface import BOXES, CLASSES
from detection.data.names import leaves_root, unshowable
from detection.errors import InputError
from detection.files.bounds import Allowance
from detection.files.documents import load_head
from detection.progress import track

BATCH = 64
"""rows in memory at once"""
KINDS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"II*\0": "tif", b"MM\0*": "tif"}
"""how images begin, and their usual ending"""


def lay_out(files: Sequence[Path], target: Path, objects: bool = True) -> None:
    """Write the images of parquet files into the folder `target`, a folder a file, each with its metadata.jsonl where
    `objects` are asked for, which every file must then have.

    Raises InputError where pyarrow is not installed, a file is no parquet or has no images, or none with objects, and
    where it unpacks to many times its size.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{files[0]}: is parquet, which needs pyarrow: pip install frcnn-toolkit[parquet]") from None
    for path in files:
        load_head(path, 4)  # a pipe would be waited for
        try:
            table = pyarrow.parquet.ParquetFile(path)
            image = _image_column(table.schema_arrow, path, objects)
            columns = [image, "objects"] if objects else [image]
            rows = track(_rows(table, columns), f"unpacking {path.name}", table.metadata.num_rows)
            _write(rows, _class_names(table.schema_arrow), target / path.stem, path, objects)
        except (pyarrow.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: cannot be unpacked ({reason}); fetch it again") from error


def _image_column(schema: Any, path: Path, objects: bool) -> str:
    """The column that holds structs with `bytes`, where there is one of `objects` beside it if these are asked for."""
    found = [
        name
        for name, kind in zip(schema.names, schema.types)
        if kind.num_fields and any(kind.field(k).name == "bytes" for k in range(kind.num_fields))
    ]
    if not found or (objects and "objects" not in schema.names):
        needs = "a dataset of boxes has an image with its bytes, and objects" if objects else "none has images' bytes"
        raise InputError(f"{path}: has the columns {', '.join(schema.names[:12])}; {needs}")
    return "image" if "image" in found else found[0]


def _class_names(schema: Any) -> list[str] | None:
    """The names that the schema gives to the numbers of the classes, None where it gives none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]["objects"]
    except (KeyError, ValueError, TypeError):
        return None
    return _names_in(features)


def _names_in(features: Any) -> list[str] | None:
    """Wherever they stand: a sequence wraps its features, and its way of doing so has changed."""
    if isinstance(features, list):
        features = features[0] if features else None
    if not isinstance(features, dict):
        return None
    for key in CLASSES:
        inner = features.get(key)
        while isinstance(inner, dict) and "names" not in inner and "feature" in inner:
            inner = inner["feature"]
        if isinstance(inner, dict) and isinstance(inner.get("names"), list):
            return [str(name) for name in inner["names"]]
    return _names_in(features.get("feature"))


def _rows(table: Any, columns: list[str]) -> Iterator[dict[str, Any]]:
    """columns: the image's, and perhaps that of objects."""
    for batch in table.iter_batches(batch_size=BATCH, columns=columns):
        for values in zip(*(batch.column(name).to_pylist() for name in columns)):
            yield {"image": values[0] or {}, "objects": values[1] or {} if len(values) > 1 else {}}


def _write(rows: Iterator[dict[str, Any]], names: list[str] | None, folder: Path, path: Path, objects: bool) -> None:
    folder.mkdir(parents=True)
    allowance = Allowance(path)
    lines = []
    for number, row in enumerate(rows):
        content = row["image"].get("bytes")
        if not content:
            raise InputError(f"{path}: row {number} has no image in it; save the dataset with its images embedded")
        allowance.spend(len(content))
        file = _file_name(row["image"].get("path"), content, number)
        (folder / file).write_bytes(content)
        lines.append(json.dumps({"file_name": file, "objects": _objects(row["objects"], names)}) + "\n")
    if objects:
        (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


def _file_name(given: Any, content: bytes, number: int) -> str:
    """The name that the table gives, after the number of its row, since two may be alike."""
    ending = next((ending for start, ending in KINDS.items() if content.startswith(start)), "img")
    stem = Path(str(given or "")).stem
    plain = stem and not leaves_root(stem) and not unshowable(stem) and len(stem) < 200
    return f"{number:07d}{f'_{stem}' if plain else ''}.{ending}"


def _objects(objects: Any, names: list[str] | None) -> dict[str, list[Any]]:
    """Lists of boxes and of class names or numbers, of a struct of lists or a list of structs."""
    if isinstance(objects, list):
        keys = {key for item in objects for key in item}
        objects = {key: [item.get(key) for item in objects] for key in keys}
    boxes: list[Any] = next((objects[key] for key in BOXES if objects.get(key)), [])
    labels: list[Any] = next((objects[key] for key in CLASSES if objects.get(key) is not None), [])
    named = [names[k] if names and type(k) is int and 0 <= k < len(names) else k for k in labels]
    return {"bbox": [list(box) for box in boxes], "categories": named}
