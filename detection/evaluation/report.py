"""Evaluation results as plain text and as JSON."""

from __future__ import annotations

import math
from typing import Any

from detection.counted import counted
from detection.evaluation.coco_ap import CLASS_STAT_NAMES, CocoResult
from detection.evaluation.voc_ap import VocResult
from detection.tables import plain_table

# name -> what is averaged, IoU thresholds, size of the objects, detections an image and class
COCO_LINES = {
    "AP": ("Average Precision", "0.50:0.95", "all", 100),
    "AP50": ("Average Precision", "0.50", "all", 100),
    "AP75": ("Average Precision", "0.75", "all", 100),
    "APs": ("Average Precision", "0.50:0.95", "small", 100),
    "APm": ("Average Precision", "0.50:0.95", "medium", 100),
    "APl": ("Average Precision", "0.50:0.95", "large", 100),
    "AR1": ("Average Recall", "0.50:0.95", "all", 1),
    "AR10": ("Average Recall", "0.50:0.95", "all", 10),
    "AR100": ("Average Recall", "0.50:0.95", "all", 100),
    "ARs": ("Average Recall", "0.50:0.95", "small", 100),
    "ARm": ("Average Recall", "0.50:0.95", "medium", 100),
    "ARl": ("Average Recall", "0.50:0.95", "large", 100),
}

FALSE_ALARM_SCORES = (0.05, 0.3, 0.5, 0.7, 0.9)

COCO_LIMIT = 100

NOTHING = "-"
"""in place of a number where there was nothing to find"""


def summary_table(result: CocoResult) -> str:
    """COCO's twelve numbers, one a line, under the counts; three decimals, as pycocotools prints them."""
    lines = [
        f"{counted(result.images, 'image')}, {counted(result.objects, 'object')}, "
        f"{counted(result.crowds, 'crowd')}, {counted(result.detections, 'detection')}",
        "",
    ]
    if result.limit != COCO_LIMIT:
        lines.insert(
            1,
            f"at most {counted(result.limit, 'detection')} an image and class count, which is not COCO's limit of 100",
        )
    for name, (what, iou, area, limit) in COCO_LINES.items():
        limit = result.limit if limit == COCO_LIMIT else limit
        value = _number(result.stats[name])
        lines.append(f"{what:<17} {name:<5} IoU {iou:<9}  area {area:<6}  maxDets {limit:>3}   {value:>6}")
    return "\n".join(lines)


def false_alarms(result: CocoResult, results: list[dict[str, Any]]) -> str:
    """Of a split without objects, whose AP is of nothing: how many detections there are, all of them false alarms, an
    image and by their score; empty for other splits."""
    if result.objects or result.crowds:
        return ""
    scores = [found["score"] for found in results]
    lines = [f"no objects: every detection is a false alarm, {len(scores) / max(result.images, 1):.3g} an image"]
    for least in FALSE_ALARM_SCORES:
        count = sum(score >= least for score in scores)
        lines.append(f"  score {least:g} or more: {count}, {count / max(result.images, 1):.3g} an image")
    return "\n".join(lines)


def per_class_table(result: CocoResult) -> str:
    """A line a class, best AP first, classes without objects last and marked with a dash."""
    ranked = sorted(result.per_class.items(), key=lambda item: -item[1]["AP"])
    rows = [[name, *(_number(numbers[stat]) for stat in CLASS_STAT_NAMES)] for name, numbers in ranked]
    return plain_table(["class", *CLASS_STAT_NAMES], rows)


def voc_table(result: VocResult) -> str:
    """A line a class in the classes' order, and the mean of those that have objects."""
    rows = [
        [name, _number(row.ap_11point), _number(row.ap_area), str(row.objects), str(row.detections)]
        for name, row in result.per_class.items()
    ]
    objects = sum(row.objects for row in result.per_class.values())
    detections = sum(row.detections for row in result.per_class.values())
    rows.append(["mean", _number(result.mean_11point), _number(result.mean_area), str(objects), str(detections)])
    header = ["class", "11-point AP", "area AP", "objects", "detections"]
    return f"PASCAL VOC AP at IoU {result.threshold:g}\n\n" + plain_table(header, rows)


def to_json(result: CocoResult | VocResult) -> dict[str, Any]:
    """What `json.dumps` takes, without the curves; None where there was nothing to find (COCO's -1, VOC's nan)."""
    if isinstance(result, CocoResult):
        return {
            "protocol": "coco",
            "stats": _plain(result.stats),
            "per_class": {name: _plain(numbers) for name, numbers in result.per_class.items()},
            "images": result.images,
            "objects": result.objects,
            "crowds": result.crowds,
            "detections": result.detections,
            "limit": result.limit,
        }
    per_class = {
        name: {
            **_plain({"ap_11point": row.ap_11point, "ap_area": row.ap_area}),
            "objects": row.objects,
            "detections": row.detections,
        }
        for name, row in result.per_class.items()
    }
    means = _plain({"mean_11point": result.mean_11point, "mean_area": result.mean_area})
    return {"protocol": "voc", "threshold": result.threshold, **means, "per_class": per_class}


def _is_nothing(value: float) -> bool:
    return math.isnan(value) or value < 0


def _number(value: float) -> str:
    return NOTHING if _is_nothing(value) else f"{value:.3f}"


def _plain(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: None if _is_nothing(value) else float(value) for name, value in numbers.items()}
