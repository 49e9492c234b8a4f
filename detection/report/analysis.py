"""All that a report says of a detector on a split, as numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.evaluation.bootstrap import ClassMatches, Interval, coco_matches, coco_samples, draw, interval
from detection.evaluation.coco_ap import CocoResult, evaluate_coco
from detection.evaluation.results import ground_truth
from detection.report.errors import Errors, errors_of
from detection.report.missed import CAUSES
from detection.report.suspects import Suspect, suspects
from detection.report.thresholds import NOTHING, Operation, at, best, curve
from detection.report.traced import Traced

RESAMPLES, CONFIDENCE = 1000, 0.95

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}
"""COCO's ranges of an object's area in pixels."""


@dataclass(frozen=True)
class Analysis:
    """A detector on the split of `index`.

    overall, by_class: where it operates best by F1, all classes with one threshold and each with its own; causes: by
    row of the index's annotations a key of `CAUSES`, None for what was found or is not asked for; oracles: by stage
    (how many it lost, AP if all of these were found surely); slices: name -> (images, AP).
    """

    index: AnnotationIndex
    traced: Traced
    result: CocoResult
    intervals: dict[str, Interval | None]
    matches: list[ClassMatches]
    overall: Operation
    by_class: list[Operation]
    errors: Errors
    causes: list[str | None]
    oracles: dict[str, tuple[int, float]]
    slices: dict[str, tuple[int, float]]
    suspects: list[Suspect]

    @property
    def missed(self) -> int:
        return sum(cause is not None for cause in self.causes)

    def count(self, cause: str, label: int | None = None, size: str | None = None) -> int:
        """Objects lost by a cause, of all classes and sizes or of one."""
        rows = np.array([cause == own for own in self.causes], dtype=bool)
        if label is not None:
            rows &= self.index.labels == label
        if size is not None:
            low, high = SIZES[size]
            rows &= (self.index.areas >= low) & (self.index.areas < high)
        return int(rows.sum())


def analyse(index: AnnotationIndex, traced: Traced, given: dict[int, float] | None = None) -> Analysis:
    """given: thresholds by label to operate at; by default those with the best F1 on this very split."""
    results, truth = traced.results, ground_truth(index)
    result = evaluate_coco(truth, results)
    matches = coco_matches(index, results) if results else _no_matches(index)
    samples = coco_samples(matches, draw(len(index), RESAMPLES, 0))
    intervals = {name: interval(samples[name], result.stats[name], CONFIDENCE) for name in samples}
    whole = curve(matches)
    overall = best(whole)
    by_class = [
        at(curve([own]), given[label]) if given and label in given else best(curve([own]))
        for label, own in enumerate(matches)
    ]
    thresholds = {k: operation.threshold for k, operation in enumerate(by_class) if operation.threshold is not None}
    errors = errors_of(index, results, thresholds, overall.threshold or 1.0)
    causes = _causes(index, traced, errors, thresholds)
    return Analysis(
        index,
        traced,
        result,
        intervals,
        matches,
        overall if whole.objects else NOTHING,
        by_class,
        errors,
        causes,
        _oracles(index, results, causes),
        _slices(index, results),
        suspects(index, results, traced.passages),
    )


def _no_matches(index: AnnotationIndex) -> list[ClassMatches]:
    """Of no detections at all."""
    asked = ~(index.crowd | index.difficult)
    image_of = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    nothing = np.zeros((10, 0), bool)
    return [
        ClassMatches(
            np.zeros(0, np.int64),
            np.zeros(0),
            nothing,
            nothing,
            np.bincount(image_of[asked & (index.labels == label)], minlength=len(index)).astype(np.int64),
        )
        for label in range(len(index.class_names))
    ]


def _causes(index: AnnotationIndex, traced: Traced, errors: Errors, thresholds: dict[int, float]) -> list[str | None]:
    """Why each object that is not matched was missed; a class without a threshold reports nothing."""
    causes: list[str | None] = []
    for row, (passage, matched) in enumerate(zip(traced.passages, errors.matched.tolist())):
        lost = passage is not None and matched == -1
        causes.append(passage.cause(thresholds.get(int(index.labels[row]), 2.0)) if lost and passage else None)
    return causes


def _oracles(
    index: AnnotationIndex, results: list[dict[str, Any]], causes: list[str | None]
) -> dict[str, tuple[int, float]]:
    """By stage how many objects it lost, and AP were all of them found with certainty."""
    truth, image_of = ground_truth(index), np.repeat(np.arange(len(index)), np.diff(index.offsets))
    found = {}
    for stage in dict.fromkeys(cause.stage for cause in CAUSES.values()):
        rows = [row for row, cause in enumerate(causes) if cause is not None and CAUSES[cause].stage == stage]
        perfect = [
            {
                "image_id": int(index.image_ids[image_of[row]]),
                "category_id": int(index.category_ids[index.labels[row]]),
                "bbox": index.xywh[row].tolist(),
                "score": 1.0,
            }
            for row in rows
        ]
        ap = evaluate_coco(truth, [*results, *perfect]).stats["AP"]
        found[stage] = (len(rows), ap)
    return found


def _slices(index: AnnotationIndex, results: list[dict[str, Any]]) -> dict[str, tuple[int, float]]:
    """AP on parts of the split: by crowding, by shape, and by folder where there are a few."""
    if len(index) < 2:
        return {}
    objects = np.diff(index.offsets)
    low, high = np.quantile(objects, [1 / 3, 2 / 3])
    groups = {
        f"at most {low:.0f} objects": objects <= low,
        "in between": (objects > low) & (objects <= high),
        f"more than {high:.0f} objects": objects > high,
        "wide images": index.sizes[:, 1] > index.sizes[:, 0],
        "tall images": index.sizes[:, 1] < index.sizes[:, 0],
    }
    folders = Counter(name.decode(errors="replace").rpartition("/")[0] for name in index.file_names.tolist())
    if 1 < len(folders) <= 12:
        own = np.array([name.decode(errors="replace").rpartition("/")[0] for name in index.file_names.tolist()])
        groups |= {f"folder {name}": own == name for name in folders}
    found = {}
    for name, rows in groups.items():
        if 0 < rows.sum() < len(index):
            found[name] = (int(rows.sum()), _ap_on(index, results, rows))
    return found


def _ap_on(index: AnnotationIndex, results: list[dict[str, Any]], rows: np.ndarray) -> float:
    ids = set(index.image_ids[rows].tolist())
    truth = ground_truth(index)
    truth["images"] = [image for image in truth["images"] if image["id"] in ids]
    truth["annotations"] = [annotation for annotation in truth["annotations"] if annotation["image_id"] in ids]
    return evaluate_coco(truth, [r for r in results if r["image_id"] in ids]).stats["AP"]


__all__ = ["Analysis", "analyse"]
