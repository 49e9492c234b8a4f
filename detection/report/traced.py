"""A detector over a split, and how far each object came on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from detection.data.index import AnnotationIndex
from detection.evaluation.run import Watch
from detection.geometry.boxes import rescale
from detection.model.faster_rcnn import FasterRCNN, Inference
from detection.model.trace import trace
from detection.records import Batch
from detection.report.missed import Passage, passages
from detection.training.validation import DetectorEvaluation


@dataclass(frozen=True)
class Traced:
    """results: detections in COCO's format, those of `frcnn evaluate`; passages: by row of the index's annotations,
    None for crowds and difficult objects, which nobody asks for; brightness: (N,) mean pixel of each image, 0..255."""

    results: list[dict[str, Any]]
    passages: list[Passage | None]
    brightness: np.ndarray | None = None


@dataclass(frozen=True)
class Watched:
    """What is kept of an image. passages: of the objects that are asked for; brightness: mean pixel, 0..255."""

    passages: list[Passage]
    brightness: float


def traced(index: AnnotationIndex, found: DetectorEvaluation) -> Traced:
    """What an evaluation found that `passages_in` watched."""
    came: list[Passage | None] = [None] * len(index.labels)
    brightness = np.zeros(len(index))
    for row, own in found.seen.items():
        brightness[row] = own.brightness
        for annotation, passage in zip(_asked_for(index, row).tolist(), own.passages):
            came[annotation] = passage
    return Traced(found.results, came, brightness)


def passages_in(index: AnnotationIndex, fits: float) -> Watch:
    """What an evaluation asks of every image to know how far its objects came; fits: see `passages`."""

    def watch(model: FasterRCNN, batch: Batch, inferred: Inference) -> list[Any]:
        found: list[Watched] = []
        rows = zip(batch.indices, trace(model, batch, inferred), batch.original_sizes, batch.sizes, batch.images)
        for row, seen, original, (height, width), image in rows:
            asked = _asked_for(index, row)
            boxes = rescale(torch.from_numpy(index.boxes(row)), original, seen.size)[asked - index.offsets[row]]
            came = passages(seen, boxes, torch.from_numpy(index.labels[asked]), fits)
            found.append(Watched(came, float(image[:, :height, :width].float().mean())))
        return found

    return watch


def _asked_for(index: AnnotationIndex, row: int) -> np.ndarray:
    """Rows of the annotations of an image that are to be found."""
    rows = np.arange(index.offsets[row], index.offsets[row + 1])
    return rows[~(index.crowd | index.difficult)[rows]]
