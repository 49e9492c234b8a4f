from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from detection.errors import InputError
from detection.evaluation.coco_ap import BACKENDS, CLASS_STAT_NAMES, STAT_NAMES, evaluate_coco
from detection.evaluation.report import summary_table

KEPT = (
    "crowd",
    "fce_ignore",
    "fce_three_images",
    "tiny_area_edges",
    "tiny_crowd",
    "tiny_iou_edges",
    "tiny_two_dets_one_gt",
)
LARGER = (
    "categories_without_dets",
    "few_detections",
    "images_without_gt",
    "many_detections",
    "no_crowd",
    "ties",
    "val2014_100",
)
every_backend = pytest.mark.parametrize("backend", BACKENDS)


def annotation(number: int, image: int, category: int, box: list[float], **more: Any) -> dict[str, Any]:
    plain = {"id": number, "image_id": image, "category_id": category, "bbox": box}
    return {**plain, "area": box[2] * box[3], "iscrowd": 0, **more}


def result(image: int, category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def truth(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": i, "width": 400, "height": 400, "file_name": f"{i}.jpg"} for i in (1, 2)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": list(annotations),
    }


@every_backend
@pytest.mark.parametrize("case", KEPT + LARGER)
def test_equals_pycocotools_fixture(references: Path, case: str, backend: str, request: pytest.FixtureRequest) -> None:
    folder = (references if case in KEPT else request.getfixturevalue("shared") / "fixtures") / "coco_eval" / case
    ground_truth, results, expected = (
        json.loads((folder / f).read_bytes()) for f in ("gt.json", "dt.json", "stats.json")
    )

    got = evaluate_coco(ground_truth, results, backend)

    assert list(got.stats) == list(STAT_NAMES) == expected["stat_names"]
    assert list(got.stats.values()) == pytest.approx(expected["stats"], abs=1e-9)
    assert list(got.per_class) == [row["name"] for row in expected["per_category"]]
    for row in expected["per_category"]:
        assert got.per_class[row["name"]] == pytest.approx({name: row[name] for name in CLASS_STAT_NAMES}, abs=1e-9)
    counts = expected["counts"]
    assert (got.images, got.objects + got.crowds, got.detections) == (
        counts["images"],
        counts["annotations"],
        counts["detections"],
    )
    assert got.crowds == counts["crowd"]


def test_every_fixture_case_is_listed(shared: Path) -> None:
    assert {folder.name for folder in (shared / "fixtures" / "coco_eval").iterdir()} == {*KEPT, *LARGER}


@every_backend
def test_no_detections_score_zero_where_there_are_objects(backend: str) -> None:
    got = evaluate_coco(truth(annotation(1, 1, 3, [10, 10, 50, 50])), [], backend)
    assert got.stats["AP"] == got.stats["AR100"] == got.stats["APm"] == 0
    assert got.stats["APs"] == got.stats["APl"] == -1
    assert got.per_class["cat"]["AP"] == 0 and got.per_class["dog"]["AP"] == -1


@every_backend
def test_no_objects_and_no_images_are_minus_one(backend: str) -> None:
    empty = truth()
    assert set(evaluate_coco(empty, [result(1, 3, [1, 1, 9, 9], 0.5)], backend).stats.values()) == {-1.0}
    assert set(evaluate_coco({**empty, "images": []}, [], backend).stats.values()) == {-1.0}


@every_backend
@pytest.mark.parametrize("ids", [(0, 1), (5, 5)], ids=["zero", "shared"])
def test_annotation_ids_do_not_matter(backend: str, ids: tuple[int, int]) -> None:
    """Bare pycocotools gives .2525 for both of these perfect results."""
    boxes = [10.0, 10.0, 50.0, 50.0]
    ground_truth = truth(annotation(ids[0], 1, 3, boxes), annotation(ids[1], 2, 3, boxes))
    assert evaluate_coco(ground_truth, [result(i, 3, boxes, 0.9) for i in (1, 2)], backend).stats[
        "AP"
    ] == pytest.approx(1)


@every_backend
def test_ids_of_any_size_are_told_apart(backend: str) -> None:
    """Also neighbours above 2^53, which float64 would merge, and negative ones."""
    boxes = [10.0, 10.0, 50.0, 50.0]
    images, categories = (2**60, 2**60 + 1, -4), (2**61 + 1, -7)
    ground_truth = {
        "images": [{"id": i, "width": 400, "height": 400} for i in images],
        "categories": [{"id": c, "name": str(c)} for c in categories],
        "annotations": [annotation(1, images[0], categories[0], boxes), annotation(2, images[2], categories[1], boxes)],
    }
    results = [result(images[1], categories[0], boxes, 0.9), result(images[2], categories[1], boxes, 0.9)]
    per_class = evaluate_coco(ground_truth, results, backend).per_class
    assert list(per_class) == ["-7", str(2**61 + 1)]
    assert [row["AP"] for row in per_class.values()] == pytest.approx([1, 0])


@every_backend
def test_area_and_crowd_have_defaults(backend: str) -> None:
    bare = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 50, 50]}
    stats = evaluate_coco(truth(bare), [result(1, 3, [10, 10, 50, 50], 0.9)], backend).stats
    assert (stats["AP"], stats["APm"]) == pytest.approx((1, 1))


@every_backend
def test_arguments_stay_and_nothing_is_printed(backend: str, capfd: pytest.CaptureFixture[str]) -> None:
    ground_truth = truth(annotation(1, 1, 3, [10, 10, 50, 50], segmentation=[[10, 10, 60, 10, 60, 60]]))
    results = [result(1, 3, [10, 10, 50, 50], 0.9)]
    before = copy.deepcopy((ground_truth, results))
    evaluate_coco(ground_truth, results, backend)
    assert (ground_truth, results) == before
    assert capfd.readouterr() == ("", "")


def test_result_of_unknown_image_or_category_is_refused() -> None:
    ground_truth = truth(annotation(1, 1, 3, [10, 10, 50, 50]))
    known = result(1, 3, [10, 10, 50, 50], 0.9)
    with pytest.raises(InputError, match=r"^result 1: image_id 9 is not one of the 2 images"):
        evaluate_coco(ground_truth, [known, {**known, "image_id": 9}])
    with pytest.raises(InputError, match=r"^result 0: category_id 0 is not one of the 2 categories"):
        evaluate_coco(ground_truth, [{**known, "category_id": 0}])
    with pytest.raises(InputError, match="choose one of hotcoco, pycocotools"):
        evaluate_coco(ground_truth, [known], "cocoapi")


def test_classes_of_one_name_are_told_apart_by_id() -> None:
    ground_truth = truth(annotation(1, 1, 3, [10, 10, 50, 50]))
    ground_truth["categories"] = [{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}]
    assert list(evaluate_coco(ground_truth, []).per_class) == ["cat (3)", "cat (7)"]


def test_the_truth_itself_scores_one_where_the_limit_lets_all_objects_count():
    """300 objects in an image, found exactly: COCO's limit of 100 leaves a third of them."""
    boxes = [[10.0 * (i % 20), 12.0 * (i // 20), 8.0, 9.0] for i in range(300)]
    truth = {
        "images": [{"id": 1, "width": 200, "height": 200}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 72.0, "iscrowd": 0}
            for i, box in enumerate(boxes)
        ],
    }
    found = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 1 - i / 999} for i, box in enumerate(boxes)]
    for backend in BACKENDS:
        usual, all_of_them = evaluate_coco(truth, found, backend), evaluate_coco(truth, found, backend, limit=300)
        assert usual.stats["AR100"] == pytest.approx(1 / 3) and usual.stats["AP"] < 0.4
        assert all_of_them.stats["AP"] == all_of_them.stats["AR100"] == all_of_them.per_class["cell"]["AP"] == 1
        assert "not COCO's limit" in summary_table(all_of_them) and "not COCO's" not in summary_table(usual)
