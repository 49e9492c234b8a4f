from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.report import per_class_table, summary_table, to_json, voc_table
from detection.evaluation.results import read_results, to_results, write_results
from detection.evaluation.voc_ap import evaluate_voc, voc_arrays
from detection.records import Detections

ITEM = {"image_id": 11, "category_id": 7, "bbox": [1.5, 2.0, 3.0, 4.0], "score": 0.9}


@pytest.fixture
def index() -> AnnotationIndex:
    """Two images with ids 11 and 5, two classes with ids 7 and 90, one object of the second class in the first."""
    return AnnotationIndex(
        root=Path("pictures"),
        source=Path("val.json"),
        class_names=("cat", "dog"),
        category_ids=np.array([7, 90]),
        image_ids=np.array([11, 5]),
        file_names=np.array([b"a.jpg", b"b.jpg"]),
        sizes=np.array([[480, 640], [480, 640]], np.int32),
        offsets=np.array([0, 1, 1]),
        xywh=np.array([[10.0, 20.0, 30.0, 40.0]]),
        labels=np.array([1]),
        areas=np.array([1200.0]),
        annotation_ids=np.array([1]),
        crowd=np.array([False]),
        difficult=np.array([False]),
    )


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Detections:
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(labels, dtype=torch.int64),
        (480, 640),
    )


def truth(index: AnnotationIndex) -> dict[str, Any]:
    return {
        "images": [{"id": int(i), "file_name": "x", "height": 480, "width": 640} for i in index.image_ids],
        "categories": [{"id": 7, "name": "cat"}, {"id": 90, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 11, "category_id": 90, "bbox": index.xywh[0].tolist()}],
    }


def test_ids_are_the_datasets_own_and_numbers_are_plain(index: AnnotationIndex) -> None:
    results = to_results([found([], [], []), found([[1, 2, 4.25, 6]], [0.9], [1])], index, [0, 1])
    assert results == [{"image_id": 5, "category_id": 90, "bbox": [1.0, 2.0, 3.25, 4.0], "score": 0.9}]
    assert [type(results[0][key]) for key in ("image_id", "category_id", "score")] == [int, int, float]


def test_close_scores_stay_apart(index: AnnotationIndex) -> None:
    scores = [0.5, float(np.nextafter(np.float32(0.5), np.float32(0)))]
    results = to_results([found([[0, 0, 1, 1]] * 2, scores, [0, 0])], index, [0])
    assert results[0]["score"] > results[1]["score"]


def test_file_gives_back_the_very_numbers(index: AnnotationIndex, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((200, 4), generator=generator) * 300
    corners[:, 2:] += corners[:, :2]
    scores = torch.rand(200, generator=generator)
    results = to_results([Detections(corners, scores, torch.zeros(200, dtype=torch.int64), (480, 640))], index, [0])
    write_results(tmp_path / "new" / "results.json", results)
    assert read_results(tmp_path / "new" / "results.json") == results
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results.json"]


def test_no_results_make_a_file_too(tmp_path: Path) -> None:
    write_results(tmp_path / "empty.json", [])
    assert read_results(tmp_path / "empty.json") == []


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_results(tmp_path / "r.json", [ITEM])
    with pytest.raises(ValueError):
        write_results(tmp_path / "r.json", [{**ITEM, "score": float("nan")}])
    assert read_results(tmp_path / "r.json") == [ITEM]
    with pytest.raises(InputError, match="cannot be written"):
        write_results(tmp_path / "r.json" / "below_a_file.json", [ITEM])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({key: value for key, value in ITEM.items() if key != "score"}, "lacks 'score'"),
        ({**ITEM, "score": float("nan")}, "score nan is not a finite number"),
        ({**ITEM, "score": "0.9"}, "score '0.9' is not a finite number"),
        ({**ITEM, "bbox": [1, 2, 3]}, r"bbox \[1, 2, 3\] is not four finite numbers"),
        ({**ITEM, "bbox": [1, 2, float("inf"), 4]}, "is not four finite numbers"),
        ({**ITEM, "bbox": [9, 9, -1, 4]}, "negative side"),
        ({**ITEM, "image_id": "11"}, "image_id '11' is not a 64-bit integer"),
        ([1, 2], "is not an object"),
    ],
)
def test_bad_item_is_named(tmp_path: Path, item: Any, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([ITEM, item]))
    with pytest.raises(InputError, match=f"r.json: item 1: .*{message}"):
        read_results(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[{", "not JSON"), (b"\xff\xfe\x00", "not JSON"), (b'{"annotations": []}', "holds a JSON dict")],
)
def test_bad_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(InputError, match=f"r.json: {message}"):
        read_results(tmp_path / "r.json")
    with pytest.raises(InputError, match="none.json: cannot be read"):
        read_results(tmp_path / "none.json")


def test_detections_of_another_world_are_refused(index: AnnotationIndex) -> None:
    with pytest.raises(InputError, match="label 2, but val.json has 2 classes"):
        to_results([found([[0, 0, 1, 1]], [0.5], [2])], index, [0])
    with pytest.raises(InputError, match="not finite"):
        to_results([found([[0, 0, float("nan"), 1]], [0.5], [0])], index, [0])
    with pytest.raises(ValueError, match="1 detections for 2 rows"):
        to_results([found([], [], [])], index, [0, 1])


def test_reports_say_what_was_found(index: AnnotationIndex) -> None:
    results = to_results([found([[10, 20, 40, 60]], [0.9], [1])], index, [0])
    coco = evaluate_coco(truth(index), results)
    assert "maxDets 100    1.000" in summary_table(coco) and len(summary_table(coco).splitlines()) == 14
    assert [line.split() for line in per_class_table(coco).splitlines()[2:]] == [
        ["dog", "1.000", "1.000", "-", "1.000", "-"],
        ["cat", "-", "-", "-", "-", "-"],
    ]
    voc = evaluate_voc(*voc_arrays(index, results))
    assert voc_table(voc).splitlines()[-1].split() == ["mean", "1.000", "1.000", "1", "1"]
    plain = [json.loads(json.dumps(to_json(result), allow_nan=False)) for result in (coco, voc)]
    assert (plain[0]["stats"]["AP"], plain[1]["mean_area"]) == pytest.approx((1, 1))
    assert plain[0]["per_class"]["cat"]["AP"] is None and plain[1]["per_class"]["cat"]["ap_area"] is None
