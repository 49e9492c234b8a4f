from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.voc_ap import VocDetections, VocObjects, evaluate_voc, voc_arrays

Arrays = tuple[dict[str, VocObjects], dict[str, VocDetections]]


def read_case(folder: Path) -> Arrays:
    names = json.loads((folder / "expected.json").read_bytes())["classes"]
    images = (folder / "ImageSets" / "Main" / "test.txt").read_text().split()
    rows: dict[str, list[list[float]]] = {name: [] for name in names}
    for number, image in enumerate(images):
        for item in ElementTree.parse(folder / "Annotations" / f"{image}.xml").iter("object"):
            box = [float(item.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            rows[item.findtext("name", "")].append([*box, number, float(item.findtext("difficult", ""))])
    objects, detections = {}, {}
    for name in names:
        table = np.array(rows[name]).reshape(-1, 6)
        objects[name] = VocObjects(table[:, :4], table[:, 4].astype(int), table[:, 5] == 1)
        lines = [line.split() for line in (folder / "detections" / f"{name}.txt").read_text().splitlines()]
        found = np.array([[images.index(line[0]), *map(float, line[1:])] for line in lines])
        detections[name] = VocDetections(found[:, 2:], found[:, 0].astype(int), found[:, 1])
    return objects, detections


def index_of(objects: dict[str, VocObjects], images: int) -> AnnotationIndex:
    """The same objects as a VOC reader keeps them: x = xmin - 1, width = xmax - xmin + 1."""
    boxes = np.concatenate([o.boxes for o in objects.values()])
    owner = np.concatenate([o.images for o in objects.values()])
    labels = np.repeat(np.arange(len(objects)), [len(o.images) for o in objects.values()])
    order = np.argsort(owner, kind="stable")
    xywh = np.concatenate([boxes[:, :2] - 1, boxes[:, 2:] - boxes[:, :2] + 1], axis=1)[order]
    return AnnotationIndex(
        root=Path(),
        source=Path("Annotations"),
        class_names=tuple(objects),
        category_ids=np.arange(len(objects)) + 1,
        image_ids=np.arange(images) + 100,
        file_names=np.array([b"x.jpg"] * images),
        sizes=np.full((images, 2), 640, np.int32),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=images))]),
        xywh=xywh,
        labels=labels[order],
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(len(xywh)),
        crowd=np.zeros(len(xywh), bool),
        difficult=np.concatenate([o.difficult for o in objects.values()])[order],
    )


def results_of(detections: dict[str, VocDetections]) -> list[dict[str, object]]:
    return [
        {
            "image_id": int(image) + 100,
            "category_id": label,
            "bbox": [box[0] - 1, box[1] - 1, box[2] - box[0] + 1, box[3] - box[1] + 1],
            "score": float(score),
        }
        for label, found in enumerate(detections.values(), start=1)
        for box, image, score in zip(found.boxes, found.images, found.scores, strict=True)
    ]


def check(arrays: Arrays, folder: Path) -> None:
    for threshold, expected in json.loads((folder / "expected.json").read_bytes())["ap"].items():
        got = evaluate_voc(*arrays, threshold=float(threshold))
        mean = expected.pop("mean")
        assert (got.mean_11point, got.mean_area) == pytest.approx((mean["voc07_11point"], mean["voc10_area"]), abs=1e-9)
        assert set(got.per_class) == set(expected)
        for name, row in got.per_class.items():
            assert row.ap_11point == pytest.approx(expected[name]["voc07_11point"], abs=1e-9), (threshold, name)
            assert row.ap_area == pytest.approx(expected[name]["voc10_area"], abs=1e-9), (threshold, name)


@pytest.mark.parametrize("case", ["bccd30", "tiny"])
def test_equals_py_faster_rcnn(references: Path, case: str) -> None:
    folder = references / "voc_eval" / case
    arrays = read_case(folder)
    check(arrays, folder)
    curves = np.load(folder / "curves.npz")
    for percent in (50, 75):
        for name, row in evaluate_voc(*arrays, threshold=percent / 100).per_class.items():
            np.testing.assert_allclose(row.recall, curves[f"{name}_{percent}_recall"], atol=1e-12)
            np.testing.assert_allclose(row.precision, curves[f"{name}_{percent}_precision"], atol=1e-12)


@pytest.mark.parametrize("case", ["bccd30", "tiny"])
def test_index_and_results_give_the_same(references: Path, case: str) -> None:
    folder = references / "voc_eval" / case
    objects, detections = read_case(folder)
    images = len((folder / "ImageSets" / "Main" / "test.txt").read_text().split())
    check(voc_arrays(index_of(objects, images), results_of(detections)), folder)


def one_class(boxes: list[list[float]], found: list[list[float]], difficult: bool = False) -> Arrays:
    objects = VocObjects(
        np.array(boxes, float).reshape(-1, 4), np.zeros(len(boxes), int), np.full(len(boxes), difficult)
    )
    scores = np.linspace(0.9, 0.1, len(found))
    return {"a": objects}, {
        "a": VocDetections(np.array(found, float).reshape(-1, 4), np.zeros(len(found), int), scores)
    }


def test_second_detection_of_an_object_is_wrong() -> None:
    row = evaluate_voc(*one_class([[1, 1, 10, 10]], [[1, 1, 10, 10], [1, 1, 10, 10]])).per_class["a"]
    assert row.precision.tolist() == [1, 0.5] and row.ap_area == 1


def test_overlap_at_the_threshold_is_no_match() -> None:
    """Ten rows of pixels against five: IoU is 1/2, by inclusive pixels."""
    assert evaluate_voc(*one_class([[1, 1, 10, 10]], [[1, 1, 10, 5]])).mean_area == 0
    assert evaluate_voc(*one_class([[1, 1, 10, 10]], [[1, 1, 10, 6]])).mean_area == 1


def test_empty_is_not_special() -> None:
    assert evaluate_voc(*one_class([[1, 1, 10, 10]], [])).mean_11point == 0
    objects, _ = one_class([[1, 1, 10, 10]], [])
    assert evaluate_voc(objects, {}).mean_area == 0
    for arrays in (one_class([], [[1, 1, 9, 9]]), one_class([[1, 1, 9, 9]], [[1, 1, 9, 9]], difficult=True)):
        result = evaluate_voc(*arrays)
        assert math.isnan(result.mean_area) and math.isnan(result.per_class["a"].ap_11point)


def test_class_without_objects_is_left_out_of_the_mean() -> None:
    objects, detections = one_class([[1, 1, 10, 10]], [[1, 1, 10, 10]])
    both = {**objects, "b": VocObjects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))}
    assert evaluate_voc(both, detections).mean_area == 1


def test_wrong_input_is_refused() -> None:
    objects, detections = one_class([[1, 1, 10, 10]], [[1, 1, 10, 10]])
    with pytest.raises(InputError, match="class 'b', which the annotations lack; they have a"):
        evaluate_voc(objects, {"b": detections["a"]})
    with pytest.raises(InputError, match="50 is not in 0..1"):
        evaluate_voc(objects, detections, threshold=50)
    foreign = [{"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]
    with pytest.raises(InputError, match="result 0: image_id 5 .* is not in Annotations"):
        voc_arrays(index_of(objects, 1), foreign)
