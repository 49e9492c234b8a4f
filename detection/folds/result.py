"""What all folds find together: each image by the detector that has not seen it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.evaluation.bootstrap import Interval, coco_matches, coco_samples, draw, interval
from detection.evaluation.coco_ap import CocoResult, evaluate_coco
from detection.evaluation.report import per_class_table, to_json
from detection.evaluation.results import ground_truth, write_results
from detection.files.atomic import write_atomically
from detection.report.suspects import TEXTS, Suspect, as_coco

RESAMPLES, CONFIDENCE = 1000, 0.95
SHOWN = 10
"""suspicious labels on the terminal; the file has more"""
MOST_SUSPECTS = 500


@dataclass(frozen=True)
class OutOfFold:
    """One fold. rows: of its images among all; index: these images; results: COCO results on them; suspects: its
    doubted labels, by the rows of its own index."""

    rows: np.ndarray
    index: AnnotationIndex
    results: list[dict[str, Any]]
    suspects: list[Suspect]


@dataclass(frozen=True)
class FoldedResult:
    """result: over all images; by_fold: AP of each; intervals: of AP and AP50, by the bootstrap over images; text: the
    same for a terminal; files: what was written."""

    result: CocoResult
    by_fold: list[float]
    intervals: dict[str, Interval | None]
    suspects: list[Suspect]
    text: str
    files: dict[Path, str]


def conclude(folder: Path, index: AnnotationIndex, parts: list[OutOfFold]) -> FoldedResult:
    """Gather the folds, and write what they say."""
    results = [result for part in parts for result in part.results]
    result = evaluate_coco(ground_truth(index), results)
    by_fold = [evaluate_coco(ground_truth(part.index), part.results).stats["AP"] for part in parts]
    intervals: dict[str, Interval | None] = {"AP": None, "AP50": None}
    if results:
        samples = coco_samples(coco_matches(index, results), draw(len(index), RESAMPLES, 0)).measures
        intervals = {name: interval(samples[name], result.stats[name], CONFIDENCE) for name in samples}
    doubted = [moved for part in parts for moved in _among_all(index, part)]
    doubted = sorted(doubted, key=lambda suspect: -suspect.confidence)[:MOST_SUSPECTS]
    numbers = {
        **to_json(result),
        "intervals": {name: None if each is None else asdict(each) for name, each in intervals.items()},
        "folds": by_fold,
    }
    files = {
        folder / "evaluation.json": "AP over all images, its interval, and AP of each fold",
        folder / "predictions.json": "what was found in each image by the fold that has not seen it",
        folder / "suspects.json": "labels to look at again, as a COCO file",
        folder / "folds.json": "which image was tested in which fold",
    }
    write_results(folder / "predictions.json", results)
    suspected = json.dumps(as_coco(index, doubted)).encode("utf-8", "backslashreplace")
    write_atomically(folder / "suspects.json", suspected)
    write_atomically(folder / "evaluation.json", json.dumps(numbers, indent=1).encode())
    text = _text(index, result, by_fold, intervals, doubted)
    return FoldedResult(result, by_fold, intervals, doubted, text, files)


def _among_all(index: AnnotationIndex, part: OutOfFold) -> list[Suspect]:
    """The suspects of a fold by the rows of all images and annotations."""
    moved = []
    for suspect in part.suspects:
        row, annotation = int(part.rows[suspect.row]), suspect.annotation
        if annotation is not None:
            annotation = int(index.offsets[row] + annotation - part.index.offsets[suspect.row])
        moved.append(replace(suspect, row=row, annotation=annotation))
    return moved


def _text(
    index: AnnotationIndex,
    result: CocoResult,
    by_fold: list[float],
    intervals: dict[str, Interval | None],
    doubted: list[Suspect],
) -> str:
    lines = []
    for name in ("AP", "AP50"):
        each = intervals[name]
        spread = f", {CONFIDENCE:.0%} interval {each.low:.3f} to {each.high:.3f}" if each else ""
        lines.append(f"{name} out of fold {result.stats[name]:.3f}{spread}, over {len(index)} images")
    own = ", ".join(f"{ap:.3f}" for ap in by_fold)
    lines += [f"AP of each fold {own}; their mean {statistics.fmean(by_fold):.3f}", "", per_class_table(result)]
    if doubted:
        lines += ["", f"labels to look at again, the first of {len(doubted)}:"]
    for suspect in doubted[:SHOWN]:
        name = index.file_names[suspect.row].decode(errors="replace")
        label = suspect.label if suspect.label is not None else suspect.seen_as
        called = "" if label is None else f"{index.class_names[label]}, "
        lines.append(f"  {suspect.confidence:.2f}  {name}: {called}{TEXTS[suspect.kind]}")
    return "\n".join(lines)
