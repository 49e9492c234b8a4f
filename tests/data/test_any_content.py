"""Properties of the readers, whatever a file holds: an index that can be used, or one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data.coco import read_coco
from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root
from detection.data.voc import read_voc
from detection.data.yolo import read_yolo
from detection.errors import InputError, printable
from detection.evaluation.results import read_results

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))
ID = st.sampled_from([1, 2, 3, 2**70, "1", 1.0, True]) | ANYTHING
NUMBER = st.sampled_from([0, 1, 5, 9.5, -3, 1e308, 10**400, float("nan")]) | LEAVES
ITEM = {
    "images": {"id": ID, "file_name": st.sampled_from(["a.jpg", "b.jpg", "../x"]) | st.text(), "height": NUMBER},
    "annotations": {"id": ID, "image_id": ID, "category_id": ID, "bbox": st.lists(NUMBER, max_size=5), "area": NUMBER},
    "categories": {"id": ID, "name": st.text(max_size=5)},
}
COCO = st.fixed_dictionaries(
    {
        name: st.lists(st.fixed_dictionaries({}, optional=fields | {"width": NUMBER}) | ANYTHING, max_size=4) | ANYTHING
        for name, fields in ITEM.items()
    }
)


def assert_usable(index: AnnotationIndex) -> None:
    assert np.isfinite(index.boxes(0) if len(index) else index.xywh).all() and np.isfinite(index.areas).all()
    assert (index.sizes >= 1).all() and (index.labels < len(index.class_names)).all()
    assert all(printable(name) == name for name in index.class_names)
    assert not any(leaves_root(name.decode()) for name in index.file_names)


def check(read: Callable[[], AnnotationIndex], file: Path) -> None:
    try:
        index = read()
    except InputError as error:
        assert str(file) in str(error) and printable(str(error)) == str(error)
    else:
        assert_usable(index)


@QUICK
@given(COCO)
def test_any_coco(tmp_path: Path, content: dict[str, Any]) -> None:
    file = tmp_path / "any.json"
    file.write_text(json.dumps(content))
    check(lambda: read_coco(file), file)
    told: list[str] = []
    check(lambda: read_coco(file, None, told.append), file)
    assert all(str(file) in line for line in told)


@QUICK
@given(st.lists(st.lists(st.floats().map(str) | st.text(max_size=6), max_size=9), max_size=3), st.text(max_size=9))
def test_any_labels_of_yolo(tmp_path: Path, lines: list[list[str]], name: str) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir(exist_ok=True)
    Image.new("RGB", (4, 3)).save(tmp_path / "images/a.png")
    text = "\n".join(" ".join(line) for line in lines)
    (tmp_path / "labels/a.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "data.yaml").write_text(json.dumps({"train": "images", "names": [name]}))
    check(lambda: read_yolo(tmp_path / "data.yaml", "train"), tmp_path)
    check(lambda: read_yolo(tmp_path / "data.yaml", "train", lambda line: None), tmp_path)


@QUICK
@given(st.lists(st.floats().map(str) | st.text(max_size=6), min_size=6, max_size=6), st.text(max_size=6))
def test_any_numbers_and_names_of_voc(tmp_path: Path, numbers: list[str], name: str) -> None:
    tags = ("width", "height", "xmin", "ymin", "xmax", "ymax")
    width, height, *box = (f"<{tag}>{escape(text)}</{tag}>" for tag, text in zip(tags, numbers))
    item = f"<object><name>{escape(name)}</name><bndbox>{''.join(box)}</bndbox></object>"
    content = f"<annotation><size>{width}{height}</size>{item}</annotation>"
    (tmp_path / "a.xml").write_bytes(content.encode("utf-8", "surrogatepass"))
    check(lambda: read_voc(tmp_path, "train"), tmp_path)


RESULT = st.fixed_dictionaries(
    {}, optional={"image_id": ID, "category_id": ID, "score": NUMBER, "bbox": st.lists(NUMBER)}
)


@QUICK
@given(st.lists(RESULT | ANYTHING, max_size=3) | ANYTHING)
def test_any_results(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "any.json"
    file.write_text(json.dumps(content))
    try:
        assert all(
            np.isfinite([*r["bbox"], r["score"]]).all() and abs(r["image_id"]) < 2**63 for r in read_results(file)
        )
    except InputError as error:
        assert str(file) in str(error) and printable(str(error)) == str(error)


@pytest.mark.parametrize("name", ["a.jpg", "a/b.jpg", "a..b.jpg", "..a/b", "a/...", "ä.jpg", "名.jpg"])
def test_plain_names_stay_inside(name: str) -> None:
    assert not leaves_root(name)


@QUICK
@given(st.text(alphabet="ab./\\:C", max_size=12))
def test_a_name_that_passes_is_below_the_folder_on_every_system(name: str) -> None:
    if not leaves_root(name):
        root = Path("/folder")
        assert Path(*[p for p in (root / name).parts if p != "."]).is_relative_to(root) and ".." not in name.split("/")
        assert ".." not in name.replace("\\", "/").split("/") and not name.startswith(("/", "\\", "C:"))
