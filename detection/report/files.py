"""The files of a report: report.html, report.json with the same numbers, suspects.json as a COCO file, PNG charts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from detection.evaluation.report import to_json
from detection.files.atomic import write_atomically
from detection.report.advice import next_steps
from detection.report.alarms import Alarm
from detection.report.analysis import Analysis
from detection.report.figures import figures
from detection.report.history import History, as_json
from detection.report.missed import CAUSES
from detection.report.page import Subject, page
from detection.report.slices import SIZES
from detection.report.suspects import as_coco

WRITTEN = (
    *("report.html", "report.json", "suspects.json"),
    *("curves.png", "confusion.png", "missed.png", "training.png"),
)


def write_report(folder: Path, analysis: Analysis, history: History | None, subject: Subject) -> dict[Path, str]:
    """File -> what is in it."""
    content = {"title": subject.title, "command": subject.command, **numbers(analysis, history)}
    suspected = as_coco(analysis.index, analysis.suspects)
    write_atomically(folder / "report.json", json.dumps(content, indent=1).encode("utf-8", "backslashreplace"))
    write_atomically(folder / "suspects.json", json.dumps(suspected).encode("utf-8", "backslashreplace"))
    text = page(analysis, history, subject).encode("utf-8", "backslashreplace")
    drawn = figures(analysis, history)
    for name, picture in drawn.items():
        write_atomically(folder / name, picture)
    write_atomically(folder / "report.html", text)
    return {
        folder / "report.html": "the report",
        folder / "report.json": "its numbers",
        folder / "suspects.json": "labels to look at, as a COCO file",
        **{folder / name: _FIGURES[name] for name in drawn},
    }


_FIGURES = {
    "curves.png": "precision and recall, F1, calibration",
    "confusion.png": "what classes are taken for",
    "missed.png": "why objects were missed",
    "training.png": "losses, AP and learning rate",
}


def numbers(analysis: Analysis, history: History | None) -> dict[str, Any]:
    """All that the page says, for programs; fractions in 0..1."""
    index, errors = analysis.index, analysis.errors
    names = list(index.class_names)
    image_of = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    missed = [
        {
            "image": index.file_names[image_of[row]].decode(errors="replace"),
            "annotation_id": int(index.annotation_ids[row]),
            "class": names[index.labels[row]],
            "cause": cause,
            "rank": passage.rank,
            "background": round(passage.background, 4),
        }
        for row, (cause, passage) in enumerate(zip(analysis.causes, analysis.traced.passages))
        if cause is not None and passage is not None
    ]
    return {
        "evaluation": to_json(analysis.result),
        "intervals": {k: None if v is None else asdict(v) for k, v in analysis.intervals.items()},
        "overall": asdict(analysis.overall),
        "by_class": {name: asdict(own) for name, own in zip(names, analysis.by_class)},
        "classes": names,
        "confusion": errors.confusion.tolist(),
        "tide": {name: {"count": count, "AP50": gain} for name, (count, gain) in errors.tide.items()},
        "calibration": {"error": errors.calibration_error, "bins": errors.calibration},
        "counts": {
            name: {"mean_error": own.mean_error, "bias": own.bias, "exact": own.exact}
            for name, own in zip(names, analysis.counts)
        },
        "kinds": {kind: {"objects": asked, "found": found} for kind, (asked, found) in analysis.kinds.items()},
        "slices": {name: {"images": count, "AP": ap} for name, (count, ap) in analysis.slices.items()},
        "causes": {
            key: {
                "text": CAUSES[key].text,
                "stage": CAUSES[key].stage,
                "remedy": CAUSES[key].remedy,
                "objects": analysis.count(key),
                "by_class": {name: analysis.count(key, label=label) for label, name in enumerate(names)},
                "by_size": {size: analysis.count(key, size=size) for size in SIZES},
            }
            for key in CAUSES
        },
        "oracles": {stage: {"objects": count, "AP": ap} for stage, (count, ap) in analysis.oracles.items()},
        "missed": missed,
        "false_alarms": [_alarm(analysis, alarm) for alarm in analysis.alarms],
        "next": next_steps(analysis, history),
        "training": as_json(history),
    }


def _alarm(analysis: Analysis, alarm: Alarm) -> dict[str, Any]:
    """A false alarm, with the annotations it has to do with by their ids in the dataset."""
    index, result = analysis.index, analysis.traced.results[alarm.result]
    ids = index.annotation_ids
    return {
        **result,
        "kind": alarm.kind,
        "overlaps": None if alarm.overlaps is None else int(ids[alarm.overlaps]),
        "iou": round(alarm.iou, 3),
        "nearest": [{"annotation_id": int(ids[row]), "pixels": apart} for row, apart in alarm.neighbours],
    }
