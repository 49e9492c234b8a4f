"""PASCAL VOC average precision, as py-faster-rcnn's `voc_eval` computes it.

Its rules, which differ from COCO's: boxes are 1-based inclusive pixels, so a side is xmax - xmin + 1; a detection
belongs to the object it overlaps most, taken or not, and matches strictly above the threshold; the first detection of
an object is right, later ones are wrong; a detection whose object is difficult counts neither way; no limit on the
number of detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.geometry.arrays import iou

FAR_CORNER = np.array([0.0, 0.0, 1.0, 1.0])
"""What makes the edges of boxes of inclusive pixels continuous."""


@dataclass(frozen=True)
class VocObjects:
    """The objects of one class. boxes: (G, 4) float64 xmin ymin xmax ymax, 1-based inclusive pixels; images: (G,)
    int64, any numbering; difficult: (G,) bool."""

    boxes: np.ndarray
    images: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True)
class VocDetections:
    """The detections of one class. boxes: (D, 4) float64 as in VocObjects; images: (D,) int64; scores: (D,)."""

    boxes: np.ndarray
    images: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class VocClassResult:
    """One class. AP in 0..1, nan where the class has no object that counts.

    recall, precision: (D,) float64 after each detection, best first.
    """

    ap_11point: float
    """mean precision at recall 0, .1, ..., 1, as VOC 2007 reports it"""
    ap_area: float
    """area under the curve, as VOC 2010 and later report it"""
    objects: int
    """without the difficult ones"""
    detections: int
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class VocResult:
    """All classes at one IoU threshold; the means are over the classes that have objects, nan where none has."""

    threshold: float
    per_class: dict[str, VocClassResult]
    mean_11point: float
    mean_area: float


def evaluate_voc(
    objects: dict[str, VocObjects], detections: dict[str, VocDetections], threshold: float = 0.5
) -> VocResult:
    """AP of each class of `objects` at IoU above `threshold`; a class without detections has AP 0.

    Equal scores keep the order they are given in (py-faster-rcnn leaves it to an unstable sort). Raises InputError
    for detections of a class that `objects` lacks, and for a threshold outside 0..1.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"VOC evaluation: the IoU threshold {threshold} is not in 0..1; VOC uses 0.5")
    unknown = sorted(set(detections) - set(objects))
    if unknown:
        raise InputError(
            f"VOC evaluation: detections of class {unknown[0]!r}, which the annotations lack; "
            f"they have {', '.join(objects)}"
        )
    nothing = VocDetections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    per_class = {name: _class_ap(objects[name], detections.get(name, nothing), threshold) for name in objects}
    counted = [result for result in per_class.values() if result.objects]
    return VocResult(
        threshold=threshold,
        per_class=per_class,
        mean_11point=float(np.mean([result.ap_11point for result in counted])) if counted else float("nan"),
        mean_area=float(np.mean([result.ap_area for result in counted])) if counted else float("nan"),
    )


def voc_arrays(
    index: AnnotationIndex, results: list[dict[str, Any]]
) -> tuple[dict[str, VocObjects], dict[str, VocDetections]]:
    """The two arguments of `evaluate_voc` from a dataset and results in COCO's format.

    x y width height become the pixels that x = xmin - 1 and width = xmax - xmin + 1 came from. COCO's crowds count as
    difficult: neither wants a detection or forbids one. Detections of classes that were not annotated in their image
    are left out. Raises InputError for a result of an image or category that the index lacks.
    """
    image_of_row = np.repeat(index.image_ids, np.diff(index.offsets))
    lenient = index.difficult | index.crowd
    objects, detections = {}, {}
    found = _result_arrays(index, results)
    for k, name in enumerate(index.class_names):
        mine = index.labels == k
        objects[name] = VocObjects(_inclusive(index.xywh[mine]), image_of_row[mine], lenient[mine])
        ours = found["labels"] == k
        if index.unjudged is not None:
            ours &= ~np.isin(found["images"], index.image_ids[index.unjudged[:, k]])
        detections[name] = VocDetections(_inclusive(found["xywh"][ours]), found["images"][ours], found["scores"][ours])
    return objects, detections


def _result_arrays(index: AnnotationIndex, results: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    known = set(index.image_ids.tolist())
    label_of = {int(category): label for label, category in enumerate(index.category_ids)}
    for k, result in enumerate(results):
        if result["image_id"] not in known or result["category_id"] not in label_of:
            raise InputError(
                f"result {k}: image_id {result['image_id']} or category_id {result['category_id']} is not in "
                f"{index.source}; evaluate against the annotations of the split that was detected on"
            )
    return {
        "xywh": np.array([result["bbox"] for result in results], dtype=np.float64).reshape(-1, 4),
        "images": np.array([result["image_id"] for result in results], dtype=np.int64),
        "labels": np.array([label_of[result["category_id"]] for result in results], dtype=np.int64),
        "scores": np.array([result["score"] for result in results], dtype=np.float64),
    }


def _inclusive(xywh: np.ndarray) -> np.ndarray:
    """(N, 4) x y width height -> (N, 4) xmin ymin xmax ymax, 1-based inclusive."""
    return np.concatenate([xywh[:, :2] + 1, xywh[:, :2] + xywh[:, 2:]], axis=1)


@dataclass(frozen=True)
class VocMatches:
    """What each detection of one class is, best score first. order: (D,) int64, their places as they were given;
    right, wrong: (D,) bool; one that is neither does not count."""

    order: np.ndarray
    right: np.ndarray
    wrong: np.ndarray


def match_voc(objects: VocObjects, found: VocDetections, threshold: float) -> VocMatches:
    """Which detections of one class are right and which are wrong at IoU above `threshold`."""
    order = np.argsort(-found.scores, kind="stable")
    overlap, nearest = _nearest_objects(objects, found.boxes[order], found.images[order])
    matched = overlap > threshold
    counts = matched.copy()
    counts[matched] = ~objects.difficult[nearest[matched]]
    right = np.zeros(len(order), dtype=bool)
    # the detections are best first, and np.unique gives the first of each object
    rows = np.flatnonzero(counts)
    right[rows[np.unique(nearest[rows], return_index=True)[1]]] = True
    return VocMatches(order, right, ~right & (counts | ~matched))


def _class_ap(objects: VocObjects, found: VocDetections, threshold: float) -> VocClassResult:
    matches = match_voc(objects, found, threshold)
    right, wrong = matches.right, matches.wrong
    true_positives, false_positives = np.cumsum(right, dtype=np.float64), np.cumsum(wrong, dtype=np.float64)
    total = int(np.count_nonzero(~objects.difficult))
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = true_positives / total
    precision = true_positives / np.maximum(true_positives + false_positives, np.finfo(np.float64).eps)
    return VocClassResult(
        ap_11point=_ap_11point(recall, precision) if total else float("nan"),
        ap_area=_ap_area(recall, precision) if total else float("nan"),
        objects=total,
        detections=len(right),
        recall=recall,
        precision=precision,
    )


def _nearest_objects(objects: VocObjects, boxes: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each detection its largest IoU with an object of its image, (D,), -inf where the image has none, and the
    row of that object, (D,), the earliest among equals."""
    overlap = np.full(len(images), -np.inf)
    nearest = np.zeros(len(images), dtype=np.int64)
    objects_of, detections_of = _rows_by_image(objects.images), _rows_by_image(images)
    for image in objects_of.keys() & detections_of.keys():
        candidates, rows = objects_of[image], detections_of[image]
        each = iou(boxes[rows, None] + FAR_CORNER, objects.boxes[None, candidates] + FAR_CORNER)
        best = each.argmax(axis=1)
        overlap[rows] = each[np.arange(len(rows)), best]
        nearest[rows] = candidates[best]
    return overlap, nearest


def _rows_by_image(images: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(images, kind="stable")
    values, starts = np.unique(images[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True)) if len(values) else {}


def _ap_11point(recall: np.ndarray, precision: np.ndarray) -> float:
    ap = 0.0
    for point in np.arange(0.0, 1.1, 0.1):  # the very floats of voc_eval: .30000000000000004 is not .3
        reached = precision[recall >= point]
        ap += (reached.max() if reached.size else 0.0) / 11.0
    return float(ap)


def _ap_area(recall: np.ndarray, precision: np.ndarray) -> float:
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return float(np.sum((recall[steps + 1] - recall[steps]) * envelope[steps + 1]))
