"""Learning to detect: losses of a batch, and validation with AP, losses and pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from detection import parallel
from detection.config.schema import Config
from detection.data.dataset import DetectionDataset, loader
from detection.data.image import read_image
from detection.data.index import AnnotationIndex
from detection.data.order import EvaluationOrder
from detection.engine.hardware import loaders
from detection.engine.journal import Journal
from detection.engine.task import Found
from detection.evaluation.coco_ap import CocoResult, evaluate_coco
from detection.evaluation.results import ground_truth, to_results
from detection.evaluation.run import joined, run_detector
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.detector import Detector
from detection.predict.draw import contact_sheet, draw
from detection.predict.prepare import prepare
from detection.progress import track
from detection.records import Batch, Detections

PICTURE_SCORE = 0.5
"""Detections drawn score at least this."""


class DetectionTask:
    """Validation over `dataset`, or none where there is no validation split.

    batch, short_side, workers: as the evaluation config has them. pictures: images drawn at each evaluation.
    limit: see `evaluate_coco`.
    `iteration`, `result`, `results` and `picture` are those of the last evaluation: numbers, COCO results, drawing.
    """

    def __init__(
        self,
        dataset: DetectionDataset | None,
        short_side: int,
        batch: int,
        workers: int,
        backend: str,
        pictures: int,
        device: torch.device,
        journal: Journal | None,
        limit: int = 100,
    ) -> None:
        self.limit = limit
        self.dataset = dataset
        self.short_side = short_side
        self.batch = batch
        self.workers = workers
        self.backend = backend
        self.pictures = pictures
        self.device = device
        self.journal = journal
        self.iteration = -1
        self.result: CocoResult | None = None
        self.results: list[dict[str, Any]] = []
        self.picture: np.ndarray | None = None
        self._batches: DataLoader[Any] | None = None  # whose loading processes live from evaluation to evaluation

    def losses(self, model: nn.Module, batch: Batch) -> Found:
        batch = batch.to(self.device)
        return Found(model(batch), len(batch.indices), unreadable=batch.unreadable)

    def evaluate(self, model: nn.Module, iteration: int) -> dict[str, float]:
        """The 12 COCO numbers and the validation losses, `loss` being their sum; the same on every rank."""
        assert isinstance(model, FasterRCNN)
        if self.dataset is None:
            return {}
        rows, detections, losses = self._over_all_ranks(prepare(model))
        index = self.dataset.index
        self.iteration = iteration
        self.results = to_results(detections, index, rows)
        self.result = evaluate_coco(ground_truth(index), self.results, self.backend, self.limit)
        if self.pictures and parallel.rank() == 0:
            self.picture = beside_truth(index, dict(zip(rows, detections)), self.pictures, self.dataset.grey_bits)
            if self.journal:
                self.journal.picture("detections | ground truth", iteration, self.picture)
        return {**self.result.stats, "loss": sum(losses.values()), **losses}

    def _over_all_ranks(self, model: FasterRCNN) -> tuple[list[int], list[Detections], dict[str, float]]:
        assert self.dataset is not None
        if self._batches is None:
            order = EvaluationOrder(len(self.dataset), self.batch, self.short_side, parallel.rank(), parallel.world())
            pin, multiple = self.device.type == "cuda", model.size_multiple
            self._batches = loader(self.dataset, order, self.workers, multiple, pin, persistent=True)
        mine = run_detector(model, track(self._batches, "validating", len(self._batches)), self.device, losses=True)
        return joined(parallel.gather(mine))


def evaluate_detector(
    detector: Detector,
    index: AnnotationIndex,
    config: Config,
    batch: int = 1,
    workers: int | None = None,
    backend: str = "hotcoco",
    pictures: int = 0,
    limit: int = 100,
) -> tuple[DetectionTask, dict[str, float]]:
    """One pass of a detector over a split, as training evaluates: the task with its results, and the metrics."""
    dataset = DetectionDataset(index, replace(config.input, long_side=detector.long_side), training=False)
    task = DetectionTask(
        dataset,
        detector.short_side,
        batch,
        loaders(workers, detector.device),
        backend,
        pictures,
        detector.device,
        journal=None,
        limit=limit,
    )
    return task, task.evaluate(detector.model, 0)


def beside_truth(index: AnnotationIndex, found: dict[int, Detections], count: int, grey_bits: int = 16) -> np.ndarray:
    """A sheet of detections beside the ground truth, for `count` images spread over the split; found: by row."""
    chosen = np.unique(np.linspace(0, len(index) - 1, min(count, len(index))).astype(int))
    pairs = []
    for row in chosen.tolist():
        image, certain = read_image(index.path(row), grey_bits), found[row].above(PICTURE_SCORE)
        left = draw(image, certain.boxes.numpy(), certain.labels.numpy(), index.class_names, certain.scores.numpy())
        right = draw(image, index.boxes(row), index.labels[index.rows(row)], index.class_names)
        pairs.append([left, right])
    return contact_sheet(pairs, ["detections", "ground truth"])
