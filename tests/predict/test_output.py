from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detection.errors import InputError
from detection.predict.output import save_picture, to_records, write_json
from detection.records import Detections


def found(labels: list[int]) -> Detections:
    count = len(labels)
    boxes = torch.tensor([[1.0, 2.0, 3.00006, 4.5]] * count).reshape(-1, 4)
    return Detections(boxes, torch.full((count,), 0.9), torch.tensor(labels, dtype=torch.int64), (480, 640))


def test_record_holds_plain_values() -> None:
    assert to_records("a.jpg", found([1]), ["cat", "dog"]) == {
        "file": "a.jpg",
        "size": [480, 640],
        "detections": [{"box": [1.0, 2.0, 3.0, 4.5], "score": 0.9, "class": "dog", "label": 1}],
    }


def test_no_detections_are_a_record_too() -> None:
    assert to_records("a.jpg", found([]), ["cat"])["detections"] == []


def test_label_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a.jpg: label 1 has no name among the 1 classes"):
        to_records("a.jpg", found([1]), ["cat"])


def test_json_comes_back_whatever_the_names(tmp_path: Path) -> None:
    records = [to_records("细胞/\udcff.jpg", found([0]), ["żółw"])]
    write_json(tmp_path / "deep" / "out.json", records)
    assert json.loads((tmp_path / "deep" / "out.json").read_text(encoding="utf-8")) == records
    assert "żółw" in (tmp_path / "deep" / "out.json").read_text(encoding="utf-8")


def test_json_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "out.json", {"score": float("nan")})
    with pytest.raises(InputError, match="cannot be written"):
        (tmp_path / "folder").mkdir()
        write_json(tmp_path / "folder", {})
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_picture_comes_back(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    save_picture(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "a.png")), picture)
    save_picture(tmp_path / "a.JPG", picture)
    assert Image.open(tmp_path / "a.JPG").format == "JPEG"


@pytest.mark.parametrize("name", ["a.txt", "a"])
def test_picture_of_no_known_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="use .jpg or .png"):
        save_picture(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    assert not list(tmp_path.iterdir())
