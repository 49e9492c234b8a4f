"""Several sets of detections on one dataset: their AP, how sure it is, and what each gains on the first.

Nothing here knows runs or models: detections and a dataset go in, rows of numbers come out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.bootstrap import (
    ClassMatches,
    Interval,
    Samples,
    coco_matches,
    coco_samples,
    draw,
    interval,
    voc_matches,
    voc_samples,
)
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.report import to_json
from detection.evaluation.results import ground_truth
from detection.evaluation.voc_ap import evaluate_voc, voc_arrays


@dataclass(frozen=True)
class Cost:
    """What one image costs. parameters: all weights; multiply_adds: of convolutions and linear layers at `size`
    (height, width) with `regions` proposals; latency_ms: median, None where it was not measured."""

    parameters: int
    multiply_adds: int
    size: tuple[int, int]
    regions: int
    latency_ms: float | None = None


@dataclass(frozen=True)
class Contestant:
    """name: of its row; source: file of the results, for messages; results: in COCO's format; cost: None where there
    is no model to ask."""

    name: str
    source: str
    results: list[dict[str, Any]]
    cost: Cost | None = None


@dataclass(frozen=True)
class Row:
    """Numbers of one contestant, fractions in 0..1, None where there was nothing to find.

    values: measure -> AP; intervals: the sampled measures; deltas, delta_intervals: to the first row, empty in it;
    per_class: class -> AP; class_intervals: of it; class_deltas: class -> (gain on the first row, its interval), empty
    in the first row.
    """

    name: str
    values: dict[str, float | None]
    intervals: dict[str, Interval | None]
    deltas: dict[str, float | None]
    delta_intervals: dict[str, Interval | None]
    per_class: dict[str, float | None]
    class_intervals: dict[str, Interval | None]
    class_deltas: dict[str, tuple[float | None, Interval | None]]
    detections: int
    cost: Cost | None


@dataclass(frozen=True)
class Comparison:
    """The table. measures: columns; sampled: those with intervals and deltas; class_measure: of the per-class table;
    objects: without crowds and difficult ones; resamples: 0 where intervals were not wanted."""

    metric: str
    measures: tuple[str, ...]
    sampled: tuple[str, ...]
    class_measure: str
    images: int
    objects: int
    classes: tuple[str, ...]
    resamples: int
    seed: int
    confidence: float
    rows: list[Row]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Metric:
    """One way to measure. score: (index, results) -> values and the class measure of each class; matches, samples:
    see `detection.evaluation.bootstrap`."""

    measures: tuple[str, ...]
    sampled: tuple[str, ...]
    class_measure: str
    score: Callable[[AnnotationIndex, list[dict[str, Any]]], tuple[dict[str, Any], dict[str, Any]]]
    matches: Callable[[AnnotationIndex, list[dict[str, Any]]], list[ClassMatches]]
    samples: Callable[[list[ClassMatches], np.ndarray], Samples]


def _score_coco(index: AnnotationIndex, results: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    found = to_json(evaluate_coco(ground_truth(index), results))
    return found["stats"], {name: numbers["AP50"] for name, numbers in found["per_class"].items()}


def _score_voc(index: AnnotationIndex, results: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    found = to_json(evaluate_voc(*voc_arrays(index, results)))
    values = {"AP 11-point": found["mean_11point"], "AP area": found["mean_area"]}
    return values, {name: numbers["ap_area"] for name, numbers in found["per_class"].items()}


METRICS = {
    "coco": Metric(
        ("AP", "AP50", "AP75", "APs", "APm", "APl"), ("AP", "AP50"), "AP50", _score_coco, coco_matches, coco_samples
    ),
    "voc": Metric(
        ("AP 11-point", "AP area"), ("AP 11-point", "AP area"), "AP area", _score_voc, voc_matches, voc_samples
    ),
}


def compare(
    index: AnnotationIndex,
    contestants: list[Contestant],
    metric: str = "coco",
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """A row for each contestant, in their order, with deltas to the first.

    Intervals are of the percentile bootstrap over images (see `bootstrap.interval`): the same `resamples` draws for
    all, so those of deltas are paired. Raises InputError for an unknown metric, for no contestant, and for results of
    an image or category that the index lacks.
    """
    if metric not in METRICS:
        raise InputError(f"metric {metric!r} is unknown; choose one of {', '.join(METRICS)}")
    if not contestants:
        raise InputError("nothing to compare; give runs or files of predictions")
    how = METRICS[metric]
    weights = draw(len(index), resamples, seed) if resamples and len(index) else None
    rows: list[Row] = []
    first: Samples | None = None
    for contestant in contestants:
        values, per_class = _scored(how, index, contestant)
        samples = None if weights is None else how.samples(how.matches(index, contestant.results), weights)
        first = first or samples
        row = _row(how, contestant, values, per_class, samples, first, rows[0] if rows else None, confidence)
        rows.append(_with_classes(row, index.class_names, samples, first, rows[0] if rows else None, confidence))
    objects = int(np.count_nonzero(~(index.crowd | index.difficult)))
    return Comparison(
        metric,
        how.measures,
        how.sampled,
        how.class_measure,
        len(index),
        objects,
        tuple(rows[0].per_class),
        resamples,
        seed,
        confidence,
        rows,
    )


def _scored(how: Metric, index: AnnotationIndex, contestant: Contestant) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        return how.score(index, contestant.results)
    except InputError as error:
        raise InputError(f"{contestant.source}: {error}") from error


def _row(
    how: Metric,
    contestant: Contestant,
    values: dict[str, Any],
    per_class: dict[str, Any],
    samples: Samples | None,
    first: Samples | None,
    reference: Row | None,
    confidence: float,
) -> Row:
    intervals, deltas, delta_intervals = {}, {}, {}
    for name in how.sampled:
        value = values[name]
        if samples and value is not None:
            intervals[name] = _within(interval(samples.measures[name], value, confidence), 0.0, 1.0)
        if reference is None:
            continue
        base = reference.values[name]
        deltas[name] = None if value is None or base is None else value - base
        if samples and first and deltas[name] is not None:
            change = interval(samples.measures[name] - first.measures[name], value - base, confidence)
            delta_intervals[name] = _within(change, -1.0, 1.0)
    kept = {name: values[name] for name in how.measures}
    found = len(contestant.results)
    return Row(contestant.name, kept, intervals, deltas, delta_intervals, per_class, {}, {}, found, contestant.cost)


def _with_classes(
    row: Row,
    class_names: tuple[str, ...],
    samples: Samples | None,
    first: Samples | None,
    reference: Row | None,
    confidence: float,
) -> Row:
    """The row with intervals of each class. class_names: in label order, as samples have them."""
    intervals: dict[str, Interval | None] = {}
    deltas: dict[str, tuple[float | None, Interval | None]] = {}
    for label, name in enumerate(class_names):
        value = row.per_class[name]
        if samples and value is not None:
            intervals[name] = _within(interval(samples.per_class[label], value, confidence), 0.0, 1.0)
        base = None if reference is None else reference.per_class[name]
        if reference is None:
            continue
        change = None if value is None or base is None else value - base
        own = None
        if samples and first and change is not None:
            paired = samples.per_class[label] - first.per_class[label]
            own = _within(interval(paired, change, confidence), -1.0, 1.0)
        deltas[name] = change, own
    return dataclasses.replace(row, class_intervals=intervals, class_deltas=deltas)


def _within(found: Interval | None, low: float, high: float) -> Interval | None:
    return None if found is None else Interval(max(found.low, low), min(found.high, high))
