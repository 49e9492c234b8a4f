"""COCO average precision and recall of boxes.

The protocol is pycocotools' COCOeval with its default parameters (ten IoU thresholds .50:.05:.95, 101 recall points,
four area ranges, 1, 10 and 100 detections an image and class). Two libraries compute it: hotcoco by default, by far
the faster, and pycocotools, the reference; their twelve numbers are the same to the last bit.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from detection.errors import InputError

STAT_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""The twelve numbers in COCO's order; s, m, l are small (area up to 32 x 32 pixels), medium (96 x 96) and large."""

CLASS_STAT_NAMES = ("AP", "AP50", "APs", "APm", "APl")

SIZES = {"s": 1, "m": 2, "l": 3}
"""Places of the sizes among the area ranges, behind that of all objects."""
IOU_50, IOU_75 = 0, 5
DETECTIONS_1, DETECTIONS_10, DETECTIONS_100 = 0, 1, 2


@dataclass(frozen=True)
class CocoResult:
    """What COCO's protocol says of one set of detections. Fractions in 0..1; -1 where there is nothing to find."""

    stats: dict[str, float]
    """STAT_NAMES -> number"""
    per_class: dict[str, dict[str, float]]
    """class name -> CLASS_STAT_NAMES -> number, classes in the order of their ids"""
    images: int
    objects: int
    """without crowds, which are regions to ignore"""
    crowds: int
    detections: int
    limit: int = 100
    """detections an image and class that count; COCO's is 100"""


@dataclass(frozen=True)
class Curves:
    """T IoU thresholds, R recall points, K classes, A area ranges, M detection limits; -1 where nothing is to find.

    precision: (T, R, K, A, M) float64; recall: (T, K, A, M) float64; categories in the order of their ids.
    """

    precision: np.ndarray
    recall: np.ndarray


def _hotcoco(truth: dict[str, Any], found: np.ndarray, limit: int) -> Curves:
    from hotcoco import COCO, COCOeval

    coco = COCO(truth)
    return _accumulate(COCOeval(coco, coco.load_res(found), "bbox"), "max_dets", limit)


def _pycocotools(truth: dict[str, Any], found: np.ndarray, limit: int) -> Curves:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not truth["images"]:  # COCOeval would index an empty list
        classes = len(truth["categories"])
        return Curves(np.full((10, 101, classes, 4, 3), -1.0), np.full((10, classes, 4, 3), -1.0))
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    if len(found):
        detections = coco.loadRes(found)
    else:  # loadRes would index an empty list
        detections = COCO()
        detections.dataset = {**truth, "annotations": []}
        detections.createIndex()
    return _accumulate(COCOeval(coco, detections, "bbox"), "maxDets", limit)


def _accumulate(evaluator: Any, limits: str, limit: int) -> Curves:
    """limits: what the library calls its detection limits, of which `limit` is the largest."""
    assert hasattr(evaluator.params, limits), f"{type(evaluator)} has no {limits}"
    setattr(evaluator.params, limits, [1, 10, limit])
    evaluator.evaluate()
    evaluator.accumulate()
    curves = evaluator.eval
    return Curves(
        np.asarray(curves["precision"], dtype=np.float64),
        np.asarray(curves["recall"], dtype=np.float64),
    )


BACKENDS: dict[str, Callable[[dict[str, Any], np.ndarray, int], Curves]] = {
    "hotcoco": _hotcoco,
    "pycocotools": _pycocotools,
}
"""Each takes a COCO dict that it may write into, (D, 7) float64: image id, x, y, width, height, score, category id, and
the limit of detections an image and class.
Both libraries read such an array, without a Python object for each detection; it has ids exactly up to 2^53 only, so
images and categories go by their places in the order of their ids, from 1."""


def evaluate_coco(
    ground_truth: dict[str, Any], results: list[dict[str, Any]], backend: str = "hotcoco", limit: int = 100
) -> CocoResult:
    """COCO's twelve numbers and the AP of each class, as `pycocotools.cocoeval.COCOeval` computes them.

    ground_truth: a COCO dict (`images`, `annotations`, `categories`); `area` and `iscrowd` default to width * height
    and 0. results: COCO's result format, boxes x y width height; it may be empty. Every image of the ground truth
    counts, found in or not. limit: detections an image and class that count; another than 100, COCO's, stands in its
    place in all numbers. Nothing is printed and neither argument is edited.

    One difference from bare pycocotools: annotation ids do not matter. pycocotools takes a match with annotation 0
    for no match, and mixes up annotations that share an id.

    Raises InputError for an unknown backend, and for a result of an image or category that the ground truth lacks.
    """
    if backend not in BACKENDS:
        raise InputError(f"COCO evaluation backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    truth, images, categories = _own_ground_truth(ground_truth)
    found = _own_results(results, images, categories)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        curves = BACKENDS[backend](truth, found, limit)
    crowds = sum(annotation["iscrowd"] for annotation in truth["annotations"])
    return CocoResult(
        stats=_stats(curves),
        per_class=_per_class(curves, list(categories), _class_names(ground_truth)),
        images=len(images),
        objects=len(truth["annotations"]) - crowds,
        crowds=crowds,
        detections=len(found),
        limit=limit,
    )


def _own_ground_truth(ground_truth: dict[str, Any]) -> tuple[dict[str, Any], dict[Any, int], dict[Any, int]]:
    """What box evaluation reads, with annotation ids 1, 2, 3..., and the places of images and categories by their ids.

    Annotations of images and categories that are not listed are left out, as the libraries do.
    """
    try:
        images = _places(ground_truth["images"])
        categories = _places(ground_truth["categories"])
        annotations = [
            {
                "id": number,
                "image_id": images[annotation["image_id"]],
                "category_id": categories[annotation["category_id"]],
                "bbox": [float(value) for value in annotation["bbox"]],
                "area": float(annotation.get("area", annotation["bbox"][2] * annotation["bbox"][3])),
                "iscrowd": int(annotation.get("iscrowd", 0)),
            }
            for number, annotation in enumerate(ground_truth["annotations"], start=1)
            if annotation["image_id"] in images and annotation["category_id"] in categories
        ]
        sizes = [
            {"id": images[i["id"]], "width": i.get("width", 1), "height": i.get("height", 1)}
            for i in ground_truth["images"]
        ]
        names = [{"id": categories[c["id"]], "name": str(c["name"])} for c in ground_truth["categories"]]
    except KeyError as error:
        raise InputError(
            f"COCO ground truth: the key {error} is missing; write it as the COCO format has it"
        ) from error
    truth = {"info": {}, "images": sizes, "categories": names, "annotations": annotations}
    return truth, images, categories


def _places(items: list[dict[str, Any]]) -> dict[Any, int]:
    """id -> its place among the ids, from 1; in this order, which decides between equal scores."""
    return {number: place for place, number in enumerate(sorted({item["id"] for item in items}), start=1)}


def _own_results(results: list[dict[str, Any]], images: dict[Any, int], categories: dict[Any, int]) -> np.ndarray:
    """(D, 7) float64 as BACKENDS have it. images, categories: id -> place."""
    columns = [list(map(itemgetter(key), results)) for key in ("image_id", "category_id", "bbox", "score")]
    image_places = list(map(images.get, columns[0]))
    category_places = list(map(categories.get, columns[1]))
    if None in image_places or None in category_places:
        _refuse(columns[0], columns[1], images, categories)
    found = np.empty((len(results), 7))
    found[:, 0] = image_places
    found[:, 1:5] = np.array(columns[2], dtype=np.float64).reshape(-1, 4)
    found[:, 5] = columns[3]
    found[:, 6] = category_places
    return found


def _refuse(image_ids: list[Any], category_ids: list[Any], images: dict[Any, int], categories: dict[Any, int]) -> None:
    for k, (image, category) in enumerate(zip(image_ids, category_ids, strict=True)):
        if image not in images:
            raise InputError(
                f"result {k}: image_id {image} is not one of the {len(images)} images of the ground truth; "
                "evaluate against the annotations of the split that was detected on"
            )
        if category not in categories:
            raise InputError(
                f"result {k}: category_id {category} is not one of the {len(categories)} categories of the ground "
                "truth; "
                "results carry the dataset's own category ids, not 0..K-1"
            )


def _mean(values: np.ndarray) -> float:
    """Over what is there to find; -1 where nothing is."""
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


def _stats(curves: Curves) -> dict[str, float]:
    recall = curves.recall
    stats = {
        **_average_precisions(curves.precision[..., DETECTIONS_100]),  # precision is reported at 100 detections only
        "AR1": _mean(recall[:, :, 0, DETECTIONS_1]),
        "AR10": _mean(recall[:, :, 0, DETECTIONS_10]),
        "AR100": _mean(recall[:, :, 0, DETECTIONS_100]),
        **{f"AR{name}": _mean(recall[:, :, area, DETECTIONS_100]) for name, area in SIZES.items()},
    }
    assert tuple(stats) == STAT_NAMES, "the order of the twelve numbers is COCO's"
    return stats


def _average_precisions(precision: np.ndarray) -> dict[str, float]:
    """(T, R, ..., A) -> AP, AP50, AP75 and those of each size."""
    return {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[IOU_50, ..., 0]),
        "AP75": _mean(precision[IOU_75, ..., 0]),
        **{f"AP{name}": _mean(precision[..., area]) for name, area in SIZES.items()},
    }


def _per_class(curves: Curves, category_ids: list[Any], names: dict[int, str]) -> dict[str, dict[str, float]]:
    table = {}
    for k, category_id in enumerate(category_ids):
        numbers = _average_precisions(curves.precision[:, :, k, :, DETECTIONS_100])
        table[names[category_id]] = {name: numbers[name] for name in CLASS_STAT_NAMES}
    return table


def _class_names(ground_truth: dict[str, Any]) -> dict[int, str]:
    """Category id -> name; two categories of one name are told apart by their ids."""
    names = [str(category["name"]) for category in ground_truth["categories"]]
    return {
        category["id"]: name if names.count(name) == 1 else f"{name} ({category['id']})"
        for category, name in zip(ground_truth["categories"], names, strict=True)
    }
