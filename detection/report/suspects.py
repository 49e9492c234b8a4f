"""Labels that a person should look at again, since the detector contradicts them.

missing    a sure detection where nothing is annotated
spurious   an annotation where the detector is sure of background
class      a sure detection of another class on an annotation
loose      a sure detection of the class whose box ends elsewhere
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from detection.data.index import AnnotationIndex
from detection.geometry.boxes import iou
from detection.report.missed import ENOUGH, Passage

Kind = Literal["missing", "spurious", "class", "loose"]

TEXTS: dict[Kind, str] = {
    "missing": "nothing is annotated here",
    "spurious": "the detector sees nothing here",
    "class": "the detector sees another class",
    "loose": "the detector's box ends elsewhere",
}

SURE = 0.5
"""Score of a detection that contradicts a label."""
BESIDE, APART = 0.3, 0.1
"""IoU below which a detection is of another object than the annotation, and below which it does not touch it."""
TIGHT = 0.75
"""IoU of a box that nobody needs to look at."""


@dataclass(frozen=True)
class Suspect:
    """row: of the image; annotation: row of the index's annotations, None for a missing one; box: x1 y1 x2 y2 in pixels
    of what is annotated, or is missing; label: as annotated, None for a missing one; seen_as: what the detector says,
    None for background; confidence: 0..1, how sure it is."""

    kind: Kind
    row: int
    annotation: int | None
    box: tuple[float, float, float, float]
    label: int | None
    seen_as: int | None
    confidence: float


def suspects(
    index: AnnotationIndex, results: list[dict[str, Any]], passages: list[Passage | None], limit: int = 200
) -> list[Suspect]:
    """The most suspicious labels, most first, at most `limit`."""
    row_of = {int(image): row for row, image in enumerate(index.image_ids)}
    label_of = {int(category): label for label, category in enumerate(index.category_ids)}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for result in results:
        by_image.setdefault(row_of[result["image_id"]], []).append(result)
    found = []
    for row in range(len(index)):
        found += _of_image(index, row, by_image.get(row, []), label_of, passages)
    return sorted(found, key=lambda suspect: -suspect.confidence)[:limit]


def _of_image(
    index: AnnotationIndex,
    row: int,
    results: list[dict[str, Any]],
    label_of: dict[int, int],
    passages: list[Passage | None],
) -> list[Suspect]:
    start = int(index.offsets[row])
    truth, labels = torch.from_numpy(index.boxes(row)), index.labels[index.rows(row)]
    xywh = np.array([r["bbox"] for r in results], dtype=np.float32).reshape(-1, 4)
    boxes = torch.from_numpy(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1))
    scores = np.array([r["score"] for r in results])
    seen = np.array([label_of[r["category_id"]] for r in results], dtype=np.int64)
    overlap = iou(truth, boxes).numpy()  # (G, D)
    found = []
    for d in np.flatnonzero(scores >= SURE):
        if not len(truth) or overlap[:, d].max() < BESIDE:
            found.append(Suspect("missing", row, None, _box(boxes[d]), None, int(seen[d]), float(scores[d])))
    for g, label in enumerate(labels.tolist()):
        passage = passages[start + g]
        if passage is None:
            continue
        suspect = _of_object(overlap[g], scores, seen, label, passage)
        if suspect is not None:
            kind, seen_as, confidence = suspect
            found.append(Suspect(kind, row, start + g, _box(truth[g]), label, seen_as, confidence))
    return found


def _of_object(
    overlap: np.ndarray, scores: np.ndarray, seen: np.ndarray, label: int, passage: Passage
) -> tuple[Kind, int | None, float] | None:
    """What contradicts one annotation most: kind, class seen, confidence. overlap, scores, seen: of the detections."""
    on_it = (overlap >= ENOUGH) & (scores >= SURE)
    if (on_it & (seen == label) & (overlap >= TIGHT)).any():
        return None
    found: list[tuple[Kind, int | None, float]] = []
    for d in np.flatnonzero(on_it):
        if seen[d] == label:
            off = min((TIGHT - overlap[d]) / (TIGHT - ENOUGH), 1.0)
            found.append(("loose", label, float(scores[d] * off * 0.8)))  # the most frequent, and the least harmful
        else:
            found.append(("class", int(seen[d]), float(scores[d] * (1 - passage.score))))
    if not (overlap >= APART).any():
        found.append(("spurious", None, passage.background))
    return max(found, key=lambda each: each[2]) if found else None


def _box(box: torch.Tensor) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(float(edge), 2) for edge in box)
    return x1, y1, x2, y2


def as_coco(index: AnnotationIndex, found: list[Suspect]) -> dict[str, Any]:
    """The suspects as a COCO file, for annotation tools: one annotation each, with `kind`, `confidence` and what the
    detector sees (`seen_as`) beside COCO's keys; `of` is the id of the annotation that is doubted."""
    rows = sorted({suspect.row for suspect in found})
    names = index.class_names

    def annotation(number: int, suspect: Suspect) -> dict[str, Any]:
        x1, y1, x2, y2 = suspect.box
        shown = suspect.label if suspect.label is not None else suspect.seen_as
        assert shown is not None
        return {
            "id": number,
            "image_id": int(index.image_ids[suspect.row]),
            "category_id": int(index.category_ids[shown]),
            "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
            "area": round((x2 - x1) * (y2 - y1), 2),
            "iscrowd": 0,
            "kind": suspect.kind,
            "confidence": round(suspect.confidence, 4),
            "seen_as": None if suspect.seen_as is None else names[suspect.seen_as],
            "of": None if suspect.annotation is None else int(index.annotation_ids[suspect.annotation]),
        }

    return {
        "images": [
            {
                "id": int(index.image_ids[row]),
                "file_name": index.file_names[row].decode(),
                "height": int(index.sizes[row, 0]),
                "width": int(index.sizes[row, 1]),
            }
            for row in rows
        ],
        "categories": [{"id": int(i), "name": name} for i, name in zip(index.category_ids, names)],
        "annotations": [annotation(number, suspect) for number, suspect in enumerate(found, start=1)],
    }
