"""How far AP would move had other images of the same kind been tested: the bootstrap over images.

N images, D detections of one class over all of them, T IoU thresholds, B resamples.

Detections are matched to objects once, image by image; a resample then is a number of times that each image counts,
and AP follows from weighted sums, without matching again. With every weight 1 it is the evaluation's own AP.

hotcoco brings a bootstrap of the difference of two evaluations, but none of one evaluation's AP and none of VOC's;
this one draws the same images for all contestants in one pass, so that differences are paired.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.evaluation.results import ground_truth
from detection.evaluation.voc_ap import match_voc, voc_arrays

COCO_RECALLS = np.linspace(0.0, 1.0, 101)
VOC_RECALLS = np.arange(0.0, 1.1, 0.1)
"""The very floats of pycocotools and of voc_eval."""

COCO_THRESHOLDS, COCO_DETECTIONS = 10, 100

CELLS = 4_000_000
"""weights of detections held at once: 32 MB"""


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class, best first. images: (D,) int64 row of the image of each; scores: (D,); right,
    ignored: (T, D) bool; objects: (N,) int64, how many of the class each image has, without those that do not count."""

    images: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def draw(images: int, resamples: int, seed: int) -> np.ndarray:
    """(B, N) int64: how often each resample of N images holds each image."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.int64)


def interval(samples: np.ndarray, measured: float, confidence: float) -> Interval | None:
    """The percentiles of (B,) samples, moved so that the samples' mean falls on the `measured` value.

    Moved, because a resample holds images twice, whose detections agree with one another: that lifts precision, and
    so all of AP, by an amount that has nothing to do with chance. None where too few samples have a value.
    """
    samples = samples[np.isfinite(samples)]
    if len(samples) < 2 or not np.isfinite(measured):
        return None
    tail = 50 * (1 - confidence)
    low, high = np.percentile(samples, [tail, 100 - tail]) - samples.mean() + measured
    return Interval(float(min(low, measured)), float(max(high, measured)))


@dataclass(frozen=True)
class Samples:
    """Of B resamples. measures: name -> (B,); per_class: (K, B), the measure by which classes are compared (AP50, or
    VOC's area AP); nan where a resample holds no object."""

    measures: dict[str, np.ndarray]
    per_class: np.ndarray


def coco_samples(classes: list[ClassMatches], weights: np.ndarray) -> Samples:
    """AP and AP50 of each resample."""
    per_class = np.stack([_class_samples(matches, weights, _ap_coco) for matches in classes])  # (K, B, T)
    whole = np.concatenate([per_class[..., t] for t in range(per_class.shape[2])])  # (K * T, B)
    return Samples({"AP": _mean(whole), "AP50": _mean(per_class[..., 0])}, per_class[..., 0])


def voc_samples(classes: list[ClassMatches], weights: np.ndarray) -> Samples:
    """VOC's 11-point and area AP of each resample."""
    rules: dict[str, Rule] = {"AP 11-point": _ap_11point, "AP area": _ap_area}
    found = {
        name: np.stack([_class_samples(matches, weights, rule)[..., 0] for matches in classes])
        for name, rule in rules.items()
    }
    return Samples({name: _mean(values) for name, values in found.items()}, found["AP area"])


def coco_matches(index: AnnotationIndex, results: list[dict[str, Any]]) -> list[ClassMatches]:
    """Right and ignored detections of each class by COCO's rules, objects of all sizes; matched by hotcoco.

    `results` must fit the index, as `evaluate_coco` checks.
    """
    from hotcoco import COCO, COCOeval

    truth = ground_truth(index)
    truth["annotations"] = [{**a, "id": number} for number, a in enumerate(truth["annotations"], start=1)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        coco = COCO(truth)
        evaluator = COCOeval(coco, coco.load_res([dict(result) for result in results]), "bbox")
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluator.params.maxDets = [COCO_DETECTIONS]
        evaluator.evaluate()
        images: dict[int, list[dict[str, Any]]] = {}
        for image in evaluator.eval_imgs:
            if image is not None:
                images.setdefault(image["category_id"], []).append(image)
    row_of = {int(image_id): row for row, image_id in enumerate(index.image_ids)}
    return [_gathered(images.get(int(category), []), row_of) for category in index.category_ids]


def voc_matches(index: AnnotationIndex, results: list[dict[str, Any]], threshold: float = 0.5) -> list[ClassMatches]:
    """Right and ignored detections of each class by VOC's rules, T = 1. Raises InputError as `voc_arrays` does."""
    objects, detections = voc_arrays(index, results)
    order = np.argsort(index.image_ids, kind="stable")
    sorted_ids = index.image_ids[order]
    classes = []
    for name, wanted in objects.items():
        matches = match_voc(wanted, detections[name], threshold)
        rows = order[np.searchsorted(sorted_ids, detections[name].images[matches.order])]
        mine = order[np.searchsorted(sorted_ids, wanted.images[~wanted.difficult])]
        counts = np.bincount(mine, minlength=len(index)).astype(np.int64)
        scores = detections[name].scores[matches.order]
        ignored = ~(matches.right | matches.wrong)
        classes.append(ClassMatches(rows, scores, matches.right[None], ignored[None], counts))
    return classes


def _gathered(images: list[dict[str, Any]], row_of: dict[int, int]) -> ClassMatches:
    """The matches of one class from those of its images."""
    images = sorted(images, key=lambda image: image["image_id"])  # the order that equal scores keep
    objects = np.zeros(len(row_of), dtype=np.int64)
    for image in images:
        objects[row_of[image["image_id"]]] = len(image["gtIgnore"]) - sum(map(bool, image["gtIgnore"]))
    found = [image for image in images if image["dtScores"]]
    if not found:
        nothing = np.zeros((COCO_THRESHOLDS, 0), dtype=bool)
        return ClassMatches(np.zeros(0, np.int64), np.zeros(0), nothing, nothing, objects)
    rows = np.concatenate([np.full(len(image["dtScores"]), row_of[image["image_id"]]) for image in found])
    scores = np.concatenate([image["dtScores"] for image in found])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([np.array(image["dtMatches"]) > 0 for image in found], axis=1)[:, order]
    ignored = np.concatenate([np.array(image["dtIgnore"], dtype=bool) for image in found], axis=1)[:, order]
    return ClassMatches(rows[order], scores[order], matched & ~ignored, ignored, objects)


Rule = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(weights, right so far, counted so far) of the P right detections, each (B, P), and objects (B,) -> AP (B,)"""


def _class_samples(matches: ClassMatches, weights: np.ndarray, rule: Rule) -> np.ndarray:
    """(B, T): AP of one class in each resample, nan where it has no object."""
    size = max(1, CELLS // max(1, len(matches.images)))
    parts = [_class_part(matches, weights[i : i + size], rule) for i in range(0, len(weights), size)]
    return np.concatenate(parts)


def _class_part(matches: ClassMatches, weights: np.ndarray, rule: Rule) -> np.ndarray:
    total = weights @ matches.objects
    values = np.zeros((len(weights), len(matches.right)))
    each = weights[:, matches.images]  # (B, D)
    seen = np.cumsum(each, axis=1)
    for t, (right, ignored) in enumerate(zip(matches.right, matches.ignored, strict=True)):
        # Precision is largest at right detections and recall moves only there, so the others need no look.
        columns = np.flatnonzero(right)
        counted = seen[:, columns]
        if ignored.any():
            counted = counted - np.cumsum(each * ignored, axis=1)[:, columns]
        values[:, t] = rule(each[:, columns], np.cumsum(each[:, columns], axis=1), counted, total)
    values[total == 0] = np.nan
    return values


def _envelope(right: np.ndarray, counted: np.ndarray, smallest: float) -> np.ndarray:
    """(B, P): the best precision at this recall or a higher one."""
    precision = right / np.maximum(counted, smallest)
    return np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]


def _ap_coco(weights: np.ndarray, right: np.ndarray, counted: np.ndarray, total: np.ndarray) -> np.ndarray:
    return _at_recalls(COCO_RECALLS, right, counted, total)


def _ap_11point(weights: np.ndarray, right: np.ndarray, counted: np.ndarray, total: np.ndarray) -> np.ndarray:
    return _at_recalls(VOC_RECALLS, right, counted, total)


def _ap_area(weights: np.ndarray, right: np.ndarray, counted: np.ndarray, total: np.ndarray) -> np.ndarray:
    best = _envelope(right, counted, 1.0)
    return (weights * best).sum(axis=1) / np.maximum(total, 1)


def _at_recalls(recalls: np.ndarray, right: np.ndarray, counted: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(B,): mean of the envelope at the given recalls, 0 where one is not reached."""
    resamples, columns = right.shape
    if not columns:
        return np.zeros(resamples)
    best = np.concatenate([_envelope(right, counted, 1.0), np.zeros((resamples, 1))], axis=1)
    # As whole numbers of right detections: which one reaches r is decided by the floats that the evaluation compares.
    needed = {n: np.searchsorted(np.arange(n + 1) / max(n, 1), recalls) for n in set(total.tolist())}
    wanted = np.stack([needed[n] for n in total.tolist()])  # (B, R)
    # One search for all rows: each row is lifted above the one before.
    lift = np.arange(resamples)[:, None] * (int(max(total.max(), right.max())) + 2)
    place = np.searchsorted((right + lift).ravel(), (wanted + lift).ravel()).reshape(wanted.shape)
    place = np.minimum(place - np.arange(resamples)[:, None] * columns, columns)
    return np.take_along_axis(best, place, axis=1).mean(axis=1)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is finite; nan where nothing is."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
