from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data.tally import Tally
from detection.data.yolo import read_yolo, write_yolo
from detection.data.yolo_rows import read_all, read_labels
from detection.errors import InputError


def make(root: Path, yaml: str = "train: images/train\nnames: [cat, dog]\n", label: str | None = None) -> Path:
    """One image of 40 x 20 pixels with its labels."""
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20)).save(root / "images/train/a.png")
    if label is not None:
        (root / "labels/train/a.txt").write_text(label)
    (root / "data.yaml").write_text(yaml)
    return root / "data.yaml"


def test_boxes_and_outlines_become_pixels(tmp_path: Path) -> None:
    index = read_yolo(make(tmp_path, label="1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.5 0.2 0.3 0.9\n"), "train")
    assert np.allclose(index.xywh, [[15, 5, 10, 10], [4, 4, 16, 14]])
    assert index.labels.tolist() == [1, 0] and index.sizes.tolist() == [[20, 40]]
    assert index.file_names.tolist() == [b"images/train/a.png"] and index.class_names == ("cat", "dog")


def test_no_label_file_means_no_objects_and_exif_turns_the_size(tmp_path: Path) -> None:
    path = make(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "images/train/b.jpg", exif=exif)
    index = read_yolo(path, "train")
    assert index.sizes.tolist() == [[20, 40], [40, 20]] and len(index.xywh) == 0


@pytest.mark.parametrize(
    "yaml",
    [
        "path: .\ntrain: [images/train]\nnames: {0: cat, 1: dog}\nnc: 2\n",
        "path: ../datasets/none\ntrain: ../images/train\nnames: [cat, dog]\n",
        "train: list.txt\nnames: [cat, dog]\n",
    ],
)
def test_the_ways_to_name_a_split(tmp_path: Path, yaml: str) -> None:
    (tmp_path / "list.txt").write_text("./images/train/a.png\n")
    index = read_yolo(make(tmp_path, yaml, "1 0.5 0.5 1 1\n"), "train")
    assert index.path(0) == tmp_path.resolve() / "images/train/a.png" and index.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", "4 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9 0.9 0.9", "8 numbers"),
        ("2 0.5 0.5 0.1 0.1", "class 2 is not one of the 2 names"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5 is not one of"),
        ("0 20 10 5 5", "coordinates must lie in 0..1"),
        ("0 nan 0.5 0.1 0.1", "coordinates must lie in 0..1"),
        ("cat 0.5 0.5 0.1 0.1", "is not all numbers"),
    ],
)
def test_a_flaw_is_named_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = make(tmp_path, label=f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(InputError) as error:
        read_yolo(path, "train")
    assert f"{tmp_path.resolve()}/labels/train/a.txt:2: " in str(error.value) and message in str(error.value)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("a: [", "not a YAML file"),
        ("- 1", "not a list"),
        ("train: images/train", '"names" must list'),
        ("train: images/train\nnames: {1: cat, 2: dog}", r"must be 0..1, got \[1, 2\]"),
        ("train: images/train\nnames: [cat]\nnc: 2", '"nc" is 2 but "names" has 1'),
        ("train: nowhere\nnames: [cat]", "nowhere is neither a folder"),
        ("val: images/train\nnames: [cat]", "has no 'train'"),
    ],
)
def test_a_flawed_data_yaml(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_yolo(make(tmp_path, yaml), "train")


def test_round_trip(tmp_path: Path) -> None:
    index = read_yolo(make(tmp_path, label="1 0.5 0.5 0.25 0.5\n0 0.3333 0.1234 0.2 0.2\n"), "train")
    write_yolo(index, tmp_path / "out", "val")
    (tmp_path / "out/images/val").mkdir(parents=True)
    index.path(0).rename(tmp_path / "out/images/val/a.png")
    again = read_yolo(tmp_path / "out/data.yaml", "val")
    assert np.allclose(again.xywh, index.xywh, atol=1e-9) and again.labels.tolist() == [1, 0]


LINES = ["0 .5 .5 .2 .2", "2 0.125 0.25 0.5 0.25", "1.0 .1 .1 .05 .05", "", "  ", "1 .5 .5 .2 .2 .9"]
LINES += ["0 .1 .1 .4 .1 .4 .3", "3 .5 .5 .1 .1", "0 1.5 .5 .1 .1", "0 nan .5 .1 .1", "x y", "0 .5 .5", "1 .5 .5 .2 -0"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.lists(st.sampled_from(LINES), max_size=4) | st.none(), max_size=5), wide=st.integers(0, 4))
def test_files_read_together_are_read_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str] | None], wide: int
) -> None:
    """With odd rows and flaws among them, files that are not there, and one in UTF-16."""
    folder, paths = tmp_path_factory.mktemp("labels"), []
    for number, lines in enumerate(files):
        paths.append(folder / f"{number}.txt")
        if lines is not None:
            paths[-1].write_text("\n".join(lines), encoding="utf-16" if number == wide else "utf-8")
    alone, together = ([], Tally()), ([], Tally())
    rows = [read_labels(path, 3, 0, alone[0].append, alone[1]) for path in paths]
    counts, table = read_all([str(path) for path in paths], 3, 0, together[0].append, together[1])
    assert counts.tolist() == list(map(len, rows))
    assert np.array_equal(table, np.array([row for some in rows for row in some]).reshape(-1, 5))
    assert alone[0] == together[0] and alone[1].lines() == together[1].lines()
