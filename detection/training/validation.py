"""A detector on a split with its ground truth: AP, losses and pictures, in training and afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from detection import parallel
from detection.config.schema import Config
from detection.data.dataset import DetectionDataset, loader
from detection.data.image import read_image
from detection.data.index import AnnotationIndex
from detection.data.order import EvaluationOrder
from detection.engine.hardware import loaders
from detection.evaluation.coco_ap import CocoResult, evaluate_coco
from detection.evaluation.results import ground_truth, to_results
from detection.evaluation.run import Watch, joined, run_detector
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.detector import Detector
from detection.predict.draw import contact_sheet, draw
from detection.predict.prepare import prepare
from detection.predict.tiles import together
from detection.progress import track
from detection.records import Detections

PICTURE_SCORE = 0.5
"""Detections drawn score at least this."""

TRIED = 4
"""images by which the time of an evaluation is judged"""


@dataclass(frozen=True)
class DetectorEvaluation:
    """What a detector finds on a split. result: the 12 COCO numbers, also by class; results: detections in COCO's
    result format; losses: by name, means over the images; picture: detections beside the ground truth, on the first
    rank where pictures were asked for; seen: by row of the index what a watcher made of the image."""

    result: CocoResult
    results: list[dict[str, Any]]
    losses: dict[str, float]
    picture: np.ndarray | None
    seen: dict[int, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The 12 numbers, the losses, `loss` being their sum, and `AP_by_class/CLASS` where there are objects of it."""
        by_class = {
            f"AP_by_class/{name.replace('/', '_')}": own["AP"]
            for name, own in self.result.per_class.items()
            if own["AP"] >= 0
        }
        return {**self.result.stats, "loss": sum(self.losses.values()), **self.losses, **by_class}


class Validation:
    """A split to evaluate on, again and again; its loading processes live from evaluation to evaluation. Where the
    dataset has tiles, losses are means over them, and detections are those of whole images, put together.

    batch, short_side, workers, backend: as the evaluation config has them; pictures: images drawn at each evaluation;
    limit: see `evaluate_coco`.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        short_side: int,
        batch: int,
        workers: int,
        backend: str,
        pictures: int,
        device: torch.device,
        limit: int = 100,
    ) -> None:
        self.dataset, self.short_side, self.batch, self.workers = dataset, short_side, batch, workers
        self.backend, self.pictures, self.device, self.limit = backend, pictures, device, limit
        self._batches: DataLoader[Any] | None = None

    def evaluate(self, model: FasterRCNN, watch: Watch | None = None) -> DetectorEvaluation:
        """Detections and losses of one pass; the same on every rank, but for the picture."""
        rows, detections, losses, seen = self._over_all_ranks(prepare(model), watch)
        index, picture = self.dataset.images, None
        rows, detections = self._of_images(rows, detections)
        results = to_results(detections, index, rows)
        if self.pictures and parallel.rank() == 0:
            picture = beside_truth(index, dict(zip(rows, detections)), self.pictures, self.dataset.grey_bits)
        result = evaluate_coco(ground_truth(index), results, self.backend, self.limit)
        return DetectorEvaluation(result, results, losses, picture, seen)

    def _of_images(self, rows: list[int], found: list[Detections]) -> tuple[list[int], list[Detections]]:
        """The rows and detections of images, from those of what the dataset shows of them, in order."""
        tiles = self.dataset.tiles
        if tiles is None:
            return rows, found
        images = tiles.rows[rows]
        starts = np.flatnonzero(np.diff(images, prepend=-1)).tolist()
        whole = []
        for first, after in zip(starts, [*starts[1:], len(rows)]):
            height, width = self.dataset.images.sizes[images[first]].tolist()
            places = [(x1, y1, x2, y2) for x1, y1, x2, y2 in tiles.places[rows[first:after]].tolist()]
            whole.append(together(found[first:after], places, (height, width)))
        return images[starts].tolist(), whole

    def expected_seconds(self, model: FasterRCNN) -> float:
        """About how long an evaluation takes, by a few images."""
        tried, model = min(TRIED, len(self.dataset)), prepare(model)
        seconds = 0.0
        for last in (1, tried) if tried > 1 else (1,):  # the first one fills caches
            order = EvaluationOrder(last, 1, self.short_side)
            batches = loader(self.dataset, order, 0, model.size_multiple, pin=False)
            began = time.monotonic()
            run_detector(model, track(batches, "trying validation", last), self.device)
            seconds = (time.monotonic() - began) / last
        return seconds * len(self.dataset) / parallel.world()

    def _over_all_ranks(
        self, model: FasterRCNN, watch: Watch | None
    ) -> tuple[list[int], list[Detections], dict[str, float], dict[int, Any]]:
        if self._batches is None:
            order = EvaluationOrder(len(self.dataset), self.batch, self.short_side, parallel.rank(), parallel.world())
            pin, multiple = self.device.type == "cuda", model.size_multiple
            self._batches = loader(self.dataset, order, self.workers, multiple, pin, persistent=True)
        mine = run_detector(model, track(self._batches, "validating", len(self._batches)), self.device, watch)
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
    watch: Watch | None = None,
) -> DetectorEvaluation:
    """One pass of a detector over a split, as training evaluates. watch: not on tiles."""
    assert watch is None or config.input.tile is None, "a watcher sees whole images"
    dataset = DetectionDataset(index, replace(config.input, long_side=detector.long_side), training=False)
    device, workers = detector.device, loaders(workers, detector.device)
    return Validation(dataset, detector.short_side, batch, workers, backend, pictures, device, limit).evaluate(
        detector.model, watch
    )


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
