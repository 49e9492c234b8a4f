"""Each further format, written as its tool writes it, is read as what was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trees
from format_writers import (
    WRITERS,
    Writer,
    createml,
    csv_of_tensorflow,
    cvat,
    datumaro,
    huggingface,
    label_studio,
    labelme,
    supervisely,
    things,
    via,
    wider,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import corners, save

from detection.config.schema import FORMATS
from detection.data.locate import locate
from detection.data.recognise import KNOWN
from detection.errors import InputError
from detection.printable import printable


def test_every_format_can_be_asked_for():
    assert sorted(FORMATS) == sorted(["auto", *KNOWN])


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=things.filter(bool), two=things)
def test_what_is_written_is_read(
    write: Writer, tmp_path_factory: pytest.TempPathFactory, one: list[Any], two: list[Any]
) -> None:
    root = tmp_path_factory.mktemp("set")
    data = {"a": one, "b": two}
    trees.pictures(root / "img", "ab")
    write(root, data)
    rename = {"cat": "face", "dog": "face"} if write is wider else {}
    found, notes = trees.read(root)
    assert "found " in notes
    assert set(found) == {"a", "b"}
    for stem, wanted in data.items():
        assert [name for name, _ in found[stem]] == [rename.get(name, name) for name, _ in wanted]
        for (_, got), (_, want) in zip(found[stem], wanted, strict=True):
            assert got == pytest.approx(want, abs=1e-3)


@pytest.mark.parametrize("write", WRITERS)
def test_images_may_lie_elsewhere(write: Writer, tmp_path: Path) -> None:
    """As tools export annotations alone; pictures beside them that share the names are not taken then."""
    trees.pictures(tmp_path / "elsewhere/deeper")
    trees.pictures(tmp_path / "annotations/img")
    write(tmp_path / "annotations", {stem: [(n, list(b)) for n, b in things] for stem, things in trees.TRUTH.items()})
    index = locate(tmp_path / "annotations", images=tmp_path / "elsewhere").read("train")
    assert index.root == tmp_path / "elsewhere" and len(trees.seen(index)) == 3 and len(index.labels) == 4


def test_a_voc_folder_and_a_data_yaml_take_images_from_elsewhere(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "elsewhere/deeper")
    for stem in "abc":
        save(tmp_path / f"voc/Annotations/{stem}.xml", trees.voc(stem))
        save(tmp_path / f"yolo/labels/{stem}.txt", trees.yolo(stem))
    save(tmp_path / "voc/ImageSets/Main/val.txt", "a\nc\n")
    yaml = save(tmp_path / "yolo/data.yaml", "train: images\nnames: [cat, dog]\n")
    images = tmp_path / "elsewhere"
    assert trees.seen(locate(tmp_path / "voc", images=images).read("val")) == trees.truth("ac")
    for path in (yaml, yaml.parent):
        found = locate(path, images=images).read("train")
        assert {stem: [name for name, _ in things] for stem, things in trees.seen(found).items()} == {
            stem: [name for name, _ in things] for stem, things in trees.TRUTH.items()
        }


JUNK = [None, True, -1, 1e400, float("nan"), "", "\x1b[31m", [], {}, [[1]], {"a": 1}, 10**30, "../../x", "\ud800"]


def damage(value: Any, path: list[int], junk: Any) -> Any:
    """The value with `junk` in the place that `path` leads to."""
    if not path or not isinstance(value, dict | list) or not value:
        return junk
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    value[key] = damage(value[key], path[1:], junk)
    return value


@pytest.mark.parametrize("write", [labelme, createml, via, label_studio, huggingface, supervisely, datumaro])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.lists(st.integers(0, 9), min_size=1, max_size=9), junk=st.sampled_from(JUNK), lenient=st.booleans())
def test_anything_in_any_place_is_read_or_refused_in_a_line(
    write: Writer, tmp_path_factory: pytest.TempPathFactory, path: list[int], junk: Any, lenient: bool
) -> None:
    root = tmp_path_factory.mktemp("set")
    trees.pictures(root / "img")
    write(root, trees.TRUTH)
    file = next(p for p in sorted(root.rglob("*.json*")) if p.name != "meta.json")
    lines = file.read_text().splitlines()
    file.write_text("\n".join(json.dumps(damage(json.loads(line), path, junk)) for line in lines))
    told: list[str] = []
    try:
        index = locate(root).read("train", report=told.append if lenient else None)
    except InputError as error:
        told.append(str(error))
    else:
        assert np.isfinite(index.xywh).all() and (index.sizes >= 1).all()
    assert all(line == printable(line) for line in told)


@pytest.mark.parametrize("write", [csv_of_tensorflow, createml, via, label_studio, cvat, huggingface, datumaro])
def test_a_file_alone_is_a_dataset_too(write: Writer, tmp_path: Path) -> None:
    trees.pictures(tmp_path / "img")
    write(tmp_path, trees.TRUTH)
    (file,) = (path for path in tmp_path.rglob("*.*") if path.suffix != ".png")
    assert trees.read(file)[0] == trees.truth()


def test_splits_of_a_table_share_no_image(tmp_path: Path) -> None:
    """An image without a row has no objects, unless the table of another split has it."""
    trees.pictures(tmp_path / "images", "abcd")
    for name, stem in (("train", "a"), ("val", "b")):
        x1, y1, x2, y2 = corners(trees.TRUTH[stem][0][1])
        head = "image,label,x1,y1,x2,y2"
        save(tmp_path / f"{name}.csv", f"{head}\n{stem}.png,{trees.TRUTH[stem][0][0]},{x2},{y1},{x1},{y2}\n")
    found, notes = trees.read(tmp_path)
    assert set(found) == {"a", "c", "d"} and found["a"] == trees.truth()["a"][:1]
    assert "2 images have no row" in notes and "1 boxes had their corners in the wrong order" in notes


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image_id,x0,y0,x1,y1,name", "a,4,6,24,36,cat"),
        ("File Name\tLeft\tTop\tRight\tBottom\tClass", "a.png\t4\t6\t24\t36\tcat"),
        ("image,x_min,y_min,width,height,label", "a.png,4,6,20,30,cat"),
        ("path,left,top,width,height,category,image_width,image_height", "D:\\x\\a.png,4,6,20,30,cat,80,60"),
        ("filename,label,bbox", '"a.png",cat,"[4.0, 6.0, 20.0, 30.0]"'),
        ("width,height,xmax,xmin,ymax,ymin,class,filename,more", "80,60,24,4,36,6,cat,a.png,x"),
    ],
)
def test_columns_of_a_table_go_by_their_names(tmp_path: Path, header: str, row: str) -> None:
    trees.pictures(tmp_path, "a")
    save(tmp_path / "boxes.csv", f"{header}\n{row}\n")
    assert trees.read(tmp_path)[0] == {"a": trees.truth()["a"][:1]}


def test_turned_boxes_become_their_extent(tmp_path: Path) -> None:
    trees.pictures(tmp_path, "a")
    box = '<box label="cat" rotation="90" xtl="20" ytl="20" xbr="40" ybr="30"/>'
    save(tmp_path / "x.xml", f'<annotations><image name="a.png" width="80" height="60">{box}</image></annotations>')
    assert trees.read(tmp_path)[0] == {"a": [("cat", [25, 15, 10, 20])]}
    (tmp_path / "x.xml").unlink()
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 90, "rectanglelabels": ["cat"]}
    result = {"original_width": 80, "original_height": 60, "value": value}
    save(tmp_path / "x.json", [{"data": {"image": "a.png"}, "annotations": [{"result": [result]}]}])
    assert trees.read(tmp_path)[0] == {"a": [("cat", [34, 30, 6, 20])]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,cat,1,x,3,4\n", "a.csv:2: the box is"),
        ("a.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,cat\n", "a.csv:2: has 2 cells"),
        ("x.json", [{"image": "a.png", "annotations": [{"label": "cat"}]}], "has no coordinates"),
        ("metadata.jsonl", '{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]]}}', r"jsonl:1: must have"),
        ("x.xml", "<annotations><track/></annotations>", "tracks of a video"),
        (
            "x.json",
            [{"id": 4, "data": {"image": "a.png"}, "annotations": [{"result": []}, {"result": []}]}],
            "task 4: has 2 annotations, by several people",
        ),
    ],
)
def test_a_flaw_is_named_with_file_and_item(tmp_path: Path, name: str, content: Any, message: str) -> None:
    trees.pictures(tmp_path, "a")
    save(tmp_path / name, content)
    with pytest.raises(InputError, match=message):
        locate(tmp_path).read("train")
