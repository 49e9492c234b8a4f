"""A detector over a split, image by image: what it finds, and how far each object came on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from detection.config.schema import Config
from detection.data.dataset import DetectionDataset, loader
from detection.data.index import AnnotationIndex
from detection.data.order import EvaluationOrder
from detection.engine.hardware import loaders
from detection.evaluation.results import to_results
from detection.geometry.boxes import rescale
from detection.model.selection import Candidates, to_detections
from detection.model.trace import Trace, trace
from detection.predict.detector import Detector
from detection.progress import track
from detection.records import Detections, Size
from detection.report.missed import Passage, passages


@dataclass(frozen=True)
class Traced:
    """results: detections in COCO's format, those of `frcnn evaluate`; passages: by row of the index's annotations,
    None for crowds and difficult objects, which nobody asks for."""

    results: list[dict[str, Any]]
    passages: list[Passage | None]


def run_traced(detector: Detector, index: AnnotationIndex, config: Config, workers: int | None = None) -> Traced:
    """One image at a time, as evaluation has it by default."""
    dataset = DetectionDataset(index, replace(config.input, long_side=detector.long_side), training=False)
    order = EvaluationOrder(len(dataset), 1, detector.short_side)
    batches = loader(dataset, order, loaders(workers, detector.device), detector.model.size_multiple, False)
    found: dict[int, Detections] = {}
    came: list[Passage | None] = [None] * len(index.labels)
    fits = config.model.rpn.negative_iou
    for batch in track(batches, "tracing", len(index)):
        (row,), (size,), (original,) = batch.indices, batch.sizes, batch.original_sizes
        (seen,) = trace(detector.model, batch.to(detector.device))
        found[row] = detections_of(seen, original)
        asked = _asked_for(index, row)
        boxes = rescale(torch.from_numpy(index.boxes(row)), original, size)[asked - index.offsets[row]]
        labels = torch.from_numpy(index.labels[asked])
        for annotation, passage in zip(asked.tolist(), passages(seen, boxes, labels, fits)):
            came[annotation] = passage
    rows = sorted(found)
    return Traced(to_results([found[row] for row in rows], index, rows), came)


def detections_of(seen: Trace, original: Size) -> Detections:
    """What is reported, in pixels of the image's `original` size."""
    reported = seen.kept.nonzero().squeeze(1)[: seen.limit]
    return to_detections(
        Candidates(seen.boxes[reported], seen.scores[reported], seen.labels[reported]), seen.size, original
    )


def _asked_for(index: AnnotationIndex, row: int) -> np.ndarray:
    """Rows of the annotations of an image that are to be found."""
    rows = np.arange(index.offsets[row], index.offsets[row + 1])
    return rows[~(index.crowd | index.difficult)[rows]]
