"""All that a report says of a detector on a split, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.evaluation.bootstrap import ClassMatches, Interval, coco_matches, coco_samples, draw, interval
from detection.evaluation.coco_ap import CocoResult, evaluate_coco
from detection.evaluation.results import ground_truth
from detection.report.alarms import Alarm, Confused, confused, false_alarms
from detection.report.counting import Count, count_objects
from detection.report.errors import Errors, errors_of
from detection.report.missed import CAUSES
from detection.report.slices import SIZES, ap_on_parts, image_parts, object_kinds
from detection.report.suspects import Suspect, suspects
from detection.report.thresholds import NOTHING, Operation, at, best, curve
from detection.report.traced import Traced

RESAMPLES, CONFIDENCE = 1000, 0.95

EXAMPLES = 4
"""Of each cell of the confusion matrix."""


@dataclass(frozen=True)
class Analysis:
    """A detector on the split of `index`.

    overall, by_class: where it operates best by F1, all classes with one threshold and each with its own; causes: by
    row of the index's annotations a key of `CAUSES`, None for what was found or is not asked for; oracles: by stage
    (how many it lost, AP if all of these were found surely); slices: name -> (images, AP); kinds: name -> (objects,
    those of them that are found); counts: by label; alarms: false ones, the surest first; confused: examples of cells.
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
    kinds: dict[str, tuple[int, int]]
    counts: list[Count]
    alarms: list[Alarm]
    confused: list[Confused]
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


def analyse(
    index: AnnotationIndex,
    traced: Traced,
    given: dict[int, float] | None = None,
    columns: dict[str, list[str]] | None = None,
) -> Analysis:
    """given: thresholds by label to operate at; by default those with the best F1 on this very split. columns: name ->
    a value for each image, to look at their groups one by one."""
    results, truth = traced.results, ground_truth(index)
    result = evaluate_coco(truth, results)
    matches = coco_matches(index, results) if results else _no_matches(index)
    samples = coco_samples(matches, draw(len(index), RESAMPLES, 0)).measures
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
    label_of = {int(category): label for label, category in enumerate(index.category_ids)}
    row_of = {int(number): row for row, number in enumerate(index.image_ids)}
    owner = np.array([row_of[r["image_id"]] for r in results], dtype=np.int64)
    labels = np.array([label_of[r["category_id"]] for r in results], dtype=np.int64)
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
        ap_on_parts(index, results, image_parts(index, traced.brightness, columns)),
        _found_of_kinds(index, errors),
        count_objects(index, owner, labels, ~errors.ignored),
        false_alarms(index, results, ~errors.right & ~errors.ignored),
        confused(index, results, overall.threshold or 1.0, EXAMPLES),
        suspects(index, results, traced.passages),
    )


def _found_of_kinds(index: AnnotationIndex, errors: Errors) -> dict[str, tuple[int, int]]:
    """Kind of object -> (how many are asked for, how many of these are found at the thresholds)."""
    asked = errors.matched != -2
    counts = {
        kind: (int((rows & asked).sum()), int((rows & (errors.matched >= 0)).sum()))
        for kind, rows in object_kinds(index).items()
    }
    return {kind: found for kind, found in counts.items() if found[0]}


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
