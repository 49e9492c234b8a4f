"""The training of a detector: its data, its model, and what its best weights find on the validation split.

predictions.json   COCO results          evaluation.json    the 12 numbers, per class
detections.png     beside the ground truth
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from backbones.pretrained import WeightsError
from detection import checkpoint, parallel
from detection.atomic import write_atomically
from detection.config.idle import idle_settings
from detection.config.schema import Config
from detection.counted import counted
from detection.data.dataset import DetectionDataset, loader
from detection.data.hold_out import index_fingerprints
from detection.data.order import TrainingOrder
from detection.engine.datasets import Splits
from detection.engine.detection_task import DetectionTask
from detection.engine.hardware import loaders
from detection.engine.journal import Journal
from detection.engine.restore import bottleneck_stride, starting_detector
from detection.engine.run import Findings
from detection.engine.task import Task
from detection.errors import InputError
from detection.evaluation.report import false_alarms, per_class_table, summary_table, to_json
from detection.evaluation.results import write_results
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.output import save_picture
from detection.records import Batch


class DetectorProblem:
    """See `detection.engine.run.Problem`."""

    task = "detection"
    warmup_error: float | None = None

    def __init__(self, config: Config, device: torch.device, splits: Splits) -> None:
        self.config, self.device, self.splits = config, device, splits
        self.classes = splits.train.class_names
        self.metric: str = config.train.metric
        self.skip_unreadable = config.input.skip_unreadable
        self.steps_per_epoch = self._order(0, 1).steps_per_epoch
        val = len(splits.val) if splits.val else 0
        counts = f"{len(splits.train)} training and {val} validation images, {counted(len(self.classes), 'class')}"
        empty = int((np.diff(splits.train.offsets) == 0).sum())
        counts += f"; {empty} training images have no object and count as background" if empty else ""
        self.lines = [*splits.notes, *idle_settings(config), counts]
        DetectionDataset(splits.train, config.input, training=True).try_augmentation()
        self.trained_on = index_fingerprints(splits.train)
        self.validated_on = self.trained_on[:0] if splits.val is None else index_fingerprints(splits.val)
        self.described = {}
        if splits.val is not None and splits.salt is not None:
            self.described = {"held_out.txt": "".join(f"{n.decode()}\n" for n in splits.val.file_names.tolist())}

    def build(self, from_scratch: bool) -> FasterRCNN:
        weights = self.config.model.weights if from_scratch else None
        path = Path(weights) if weights else None
        begin = starting_detector(path) if path is not None and path.is_file() else None
        if path is not None and begin is None:
            self._check_stride(path)
        try:
            model = build_model(self.config.model, len(self.classes), weights if begin is None else None)
        except WeightsError as error:
            raise InputError(f"model.weights: {error}") from error
        if begin is not None and path is not None:
            kept = checkpoint.load_matching(model, begin.state, path, begin.classes, self.classes)
            self.lines.append(_kept_heads(kept, self.classes, path))
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.config.train.compile:
            model.compile_trunk()
        return model

    def _check_stride(self, path: Path) -> None:
        """Refuse a classifier whose stride is elsewhere: the shapes are the same, so it would load and be wrong."""
        stride, own = bottleneck_stride(path), self.config.model.stride_in_1x1
        if stride not in (None, own):
            raise InputError(
                f"model.stride_in_1x1: {own}, but {path} was trained with {stride}; set it as in the classifier"
            )

    def batches(self, model: nn.Module, start: int, stop: int) -> Iterator[Batch]:
        assert isinstance(model, FasterRCNN)
        pin, workers = self.device.type == "cuda", loaders(self.config.input.workers, self.device)
        return iter(loader(self._training_set(), self._order(start, stop), workers, model.size_multiple, pin))

    def images_of(self, iteration: int) -> list[str]:
        train = self.splits.train
        return [str(train.path(draw.row)) for draw in self._order(0, 1).step(iteration)]

    def learning(self, journal: Journal | None) -> Task:
        config = self.config
        self._task = DetectionTask(
            self._validation_set(),
            config.input.test_short_side,
            config.evaluate.batch,
            loaders(config.input.workers, self.device),
            config.evaluate.backend,
            config.train.pictures,
            self.device,
            journal,
        )
        return self._task

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> Findings:
        task = self._task
        if self.splits.val is None:
            return Findings(None, "", {})
        if task.result is None or task.iteration != iteration:
            task.evaluate(model, iteration)
        assert task.result is not None
        text = f"{summary_table(task.result)}\n\n{per_class_table(task.result)}"
        text = false_alarms(task.result, task.results) or text
        return Findings(task.result, text, self._write(folder) if parallel.rank() == 0 else {})

    def _write(self, folder: Path) -> dict[Path, str]:
        task = self._task
        assert task.result is not None
        predictions, numbers = folder / "predictions.json", folder / "evaluation.json"
        assert task.dataset is not None
        content = {**to_json(task.result), "short_side": task.short_side, "long_side": task.dataset.long_side}
        write_results(predictions, task.results)
        write_atomically(numbers, json.dumps(content, indent=1).encode())
        files = {predictions: "detections in COCO's result format", numbers: "the 12 numbers and AP per class"}
        if task.picture is not None:
            save_picture(folder / "detections.png", task.picture)
            files[folder / "detections.png"] = "detections beside the ground truth"
        return files

    def _training_set(self) -> DetectionDataset:
        return DetectionDataset(self.splits.train, self.config.input, training=True)

    def _validation_set(self) -> DetectionDataset | None:
        val = self.splits.val
        return None if val is None else DetectionDataset(val, self.config.input, training=False)

    def _order(self, start: int, stop: int) -> TrainingOrder:
        train, data = self.config.train, self.config.input
        return TrainingOrder(
            self.splits.train.sizes,
            train.batch,
            data.train_short_sides,
            self.config.seed,
            stop,
            start,
            data.group_by_aspect,
            parallel.rank(),
            parallel.world(),
            train.accumulate,
        )


def _kept_heads(kept: list[str], classes: Sequence[str], path: Path) -> str:
    """Which classes a detector knows already."""
    if len(kept) == len(classes):
        return f"begins from {path}, with its heads of all classes"
    heads = f"of {', '.join(kept[:10])}{', ...' if len(kept) > 10 else ''}" if kept else "of no class"
    return f"begins from {path}, with its heads {heads}; {counted(len(classes) - len(kept), 'class')} start anew"
