"""What is wrong with the detections of a split: matches, confusion, TIDE's errors, calibration. By hotcoco."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.evaluation.results import ground_truth

IOU = 0.5
BACKGROUND = "background"

TIDE_NAMES = {
    "Cls": "wrong class",
    "Loc": "box off",
    "Both": "class and box",
    "Dupe": "found twice",
    "Bkg": "nothing there",
    "Miss": "missed",
}
"""The six kinds of Bolya et al. 2020 in plain words."""


@dataclass(frozen=True)
class Errors:
    """matched: (M,) int64, by annotation of the index the number of its detection among `results`, -1 for a missed
    one, -2 for one that nobody asks for. right: (D,) bool, ignored: (D,) bool. confusion: (K + 1, K + 1) int64, truth
    by row, background last. tide: kind -> (how many, AP50 that mending all would bring). calibration: bins of
    (mean score, share of right ones, how many), and the expected error."""

    matched: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    confusion: np.ndarray
    tide: dict[str, tuple[int, float]]
    calibration: list[tuple[float, float, int]]
    calibration_error: float


def errors_of(
    index: AnnotationIndex, results: list[dict[str, Any]], thresholds: Mapping[int, float], lowest: float
) -> Errors:
    """thresholds: by label, from which score on a detection counts in matches; lowest: the same in the confusion.
    TIDE and calibration look at all detections, as their authors do."""
    label_of = {int(category): label for label, category in enumerate(index.category_ids)}
    counted = [k for k, r in enumerate(results) if r["score"] >= thresholds.get(label_of[r["category_id"]], 2.0)]
    truth = ground_truth(index)
    truth["annotations"] = [{**a, "id": number} for number, a in enumerate(truth["annotations"], start=1)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        whole = _evaluator(truth, results)
        whole.evaluate()
        tide, calibration = whole.tide_errors(pos_thr=IOU), whole.calibration(10, IOU)
        confusion = whole.confusion_matrix(IOU, min_score=lowest)["matrix"]
        reported = _evaluator(truth, [results[k] for k in counted])
        reported.evaluate()
        matches = reported.image_diagnostics(IOU)
    matched = np.where(index.crowd | index.difficult, -2, -1)
    for annotation, detection in matches["gt_match"].items():
        if annotation <= len(matched) and matched[annotation - 1] == -1:
            matched[annotation - 1] = counted[detection - 1]
    right, ignored = np.zeros(len(results), bool), np.ones(len(results), bool)
    for detection, status in matches["dt_status"].items():
        right[counted[detection - 1]], ignored[counted[detection - 1]] = status == "tp", status not in ("tp", "fp")
    bins = [(b["avg_confidence"], b["avg_accuracy"], b["count"]) for b in calibration["bins"] if b["count"]]
    return Errors(
        matched,
        right,
        ignored,
        _in_label_order(confusion, index),
        {name: (int(tide["counts"][key]), float(tide["delta_ap"][key])) for key, name in TIDE_NAMES.items()},
        bins,
        float(calibration["ece"]),
    )


def _evaluator(truth: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    from hotcoco import COCO, COCOeval

    coco = COCO(truth)
    found = coco.load_res([dict(r) for r in results]) if results else COCO({**truth, "annotations": []})
    return COCOeval(coco, found, "bbox")


def _in_label_order(matrix: np.ndarray, index: AnnotationIndex) -> np.ndarray:
    """hotcoco orders by category id."""
    place = np.argsort(np.argsort(index.category_ids))
    order = np.append(place, len(place))
    return matrix[np.ix_(order, order)].astype(np.int64)
