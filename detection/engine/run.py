"""A training run from its config to its folder.

config.yaml        everything that was set          versions.json     what it ran with
last.pt            to go on from                    best.pt           to use
metrics.jsonl      a line per report                results.csv       a row per evaluation
tensorboard/       scalars and pictures             predictions.json  best.pt on the validation split, COCO results
evaluation.json    the 12 numbers, per class        detections.png    beside the ground truth
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from backbones.pretrained import WeightsError
from detection import checkpoint, parallel
from detection.atomic import write_atomically
from detection.config.read import to_dict, to_yaml
from detection.config.schema import Config
from detection.data.dataset import DetectionDataset, loader
from detection.data.order import TrainingOrder
from detection.engine.datasets import Splits, load_splits
from detection.engine.detection_task import DetectionTask
from detection.engine.ema import AveragedModel
from detection.engine.journal import Journal
from detection.engine.loop import Loop, LoopSettings
from detection.engine.optimizer import LearningRate, build_optimizer
from detection.engine.provenance import versions
from detection.engine.restore import detector_checkpoint
from detection.errors import InputError
from detection.evaluate.coco_ap import CocoResult
from detection.evaluate.report import to_json
from detection.evaluate.results import write_results
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.output import save_picture
from detection.records import Batch


@dataclass(frozen=True)
class Finished:
    """What a run ended with. result: of the best weights on the validation split, None without one; files: what was
    written, name -> what it is."""

    result: CocoResult | None
    files: dict[Path, str]


def train(config: Config, splits: Splits | None = None) -> Finished | None:
    """Run the training that `config` describes; ranks other than the first return None.

    Raises `InputError` for what the user can mend, `Interrupted` when asked to stop by a signal.
    """
    device = parallel.start(parallel.choose_device(config.device))
    _check_device(config, device)
    try:
        return _Run(config, device, splits or load_splits(config)).run()
    finally:
        parallel.stop()


def _check_device(config: Config, device: torch.device) -> None:
    if device.type == "cpu" and config.train.amp == "fp16":
        raise InputError("train.amp: fp16 needs a CUDA device; use bf16 or off")
    if device.type == "cpu" and config.model.norm == "sync":
        raise InputError("model.norm: sync needs CUDA devices; use batch, group or frozen")
    if config.train.batch % (parallel.world() * config.train.accumulate):
        raise InputError(
            f"train.batch: {config.train.batch} images cannot be shared by {parallel.world()} processes "
            f"in {config.train.accumulate} parts each"
        )


class _Run:
    """The parts of one run, put together."""

    def __init__(self, config: Config, device: torch.device, splits: Splits) -> None:
        self.config, self.device, self.splits = config, device, splits
        self.folder = Path(config.output)
        self.classes = splits.train.class_names
        self.first = parallel.rank() == 0
        saved = self._open_folder()
        torch.manual_seed(config.seed)
        self.model = self._build_model(from_scratch=saved is None)
        total, self.steps_per_epoch = self._length()
        start = saved["iteration"] if saved else 0
        if self.first:  # from here on there is a run to describe: data, model and weights are in order
            write_atomically(self.folder / "config.yaml", to_yaml(config).encode())
            write_atomically(self.folder / "versions.json", json.dumps(versions(), indent=1).encode())
        self.journal = Journal(self.folder, total, start) if self.first else None
        self.task = self._task()
        self.loop = self._loop(total)
        if saved:
            self._restore(saved)

    def run(self) -> Finished | None:
        """Train to the end, then evaluate the best weights and write what they find."""
        say = self.journal.say if self.journal else lambda _: None
        for note in self.splits.notes:
            say(note)
        val = len(self.splits.val) if self.splits.val else 0
        say(f"{len(self.splits.train)} training and {val} validation images, {len(self.classes)} classes")
        start, total = self.loop.progress.iteration, self.loop.settings.total
        epochs = total / self.steps_per_epoch
        say(f"iterations {start} to {total} ({epochs:.1f} epochs) on {self.device}, into {self.folder}")
        self.loop.run(self._batches(start, total))
        finished = self._conclude() if self.first or parallel.world() > 1 else None
        if self.journal:
            self.journal.close()
        return finished if self.first else None

    def _open_folder(self) -> dict[str, Any] | None:
        """Make the folder and return the checkpoint to go on from, if any."""
        last = self.folder / "last.pt"
        if last.exists() and not self.config.resume:
            raise InputError(
                f"{self.folder}: holds a run already; go on with --resume true, or give another folder with --output"
            )
        if self.first:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"output: {self.folder} cannot be made ({error.strerror})") from error
            if not os.access(self.folder, os.W_OK):
                raise InputError(f"output: no permission to write into {self.folder}")
        return checkpoint.load(last) if last.exists() else None

    def _build_model(self, from_scratch: bool) -> FasterRCNN:
        """The model on its device, with its first weights unless a checkpoint will bring them."""
        weights = self.config.model.weights if from_scratch else None
        path = Path(weights) if weights else None
        content = detector_checkpoint(path) if path is not None and path.is_file() else None
        try:
            model = build_model(self.config.model, len(self.classes), weights if content is None else None)
        except WeightsError as error:
            raise InputError(f"model.weights: {error}") from error
        if content is not None and path is not None:
            checkpoint.load_matching(model, content["model"], path)
        return model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _length(self) -> tuple[int, int]:
        """Iterations of the run and of an epoch."""
        train = self.config.train
        epoch = self._order(0, 1).steps_per_epoch
        total = train.iterations if train.iterations is not None else round(float(train.epochs or 0) * epoch)
        return max(total, 1), epoch

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

    def _batches(self, start: int, stop: int) -> Iterator[Batch]:
        dataset = DetectionDataset(self.splits.train, self.config.input, training=True)
        pin = self.device.type == "cuda"
        return iter(loader(dataset, self._order(start, stop), self.config.input.workers, self.model.size_multiple, pin))

    def _task(self) -> DetectionTask:
        config = self.config
        val = None if self.splits.val is None else DetectionDataset(self.splits.val, config.input, training=False)
        return DetectionTask(
            val,
            config.input.test_short_side,
            config.evaluate.batch,
            config.input.workers,
            config.evaluate.backend,
            config.train.pictures,
            self.device,
            self.journal,
        )

    def _loop(self, total: int) -> Loop:
        train = self.config.train
        bias_decay = train.weight_decay if train.bias_decay is None else train.bias_decay
        optimizer = build_optimizer(
            self.model, train.lr, train.momentum, train.weight_decay, train.norm_decay, bias_decay
        )
        warmup = min(train.warmup, total // 4)
        rate = LearningRate(
            train.lr, total, train.schedule, tuple(train.steps), train.gamma, warmup, train.warmup_factor
        )
        average = AveragedModel(self.model, train.ema) if train.ema is not None else None
        every = train.evaluate_every or max(self.steps_per_epoch, -(-total // 20))
        settings = LoopSettings(
            total=total,
            splits=train.accumulate,
            seed=self.config.seed,
            rank=parallel.rank(),
            world=parallel.world(),
            clip=train.clip,
            amp=train.amp,
            log_every=train.log_every,
            evaluate_every=every,
            checkpoint_every=train.checkpoint_every or every,
            metric=train.metric,
            patience=train.patience,
        )
        model: torch.nn.Module = self.model
        if parallel.world() > 1:
            model = DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)
        return Loop(model, self.task, optimizer, rate, average, settings, self._save, self.journal)

    def _save(self, name: str) -> None:
        """Write `last.pt` or `best.pt`; only the first rank writes."""
        if not self.first:
            return
        loop = self.loop
        content = {
            "config": to_dict(self.config),
            "classes": list(self.classes),
            "iteration": loop.progress.iteration,
            "metrics": loop.progress.metrics,
            "model": loop.evaluated_model().state_dict(),
            "versions": versions(),
        }
        if name == "last":
            content["training"] = {
                "model": self.model.state_dict(),
                "average": loop.average.state_dict() if loop.average else None,
                "optimizer": loop.optimizer.state_dict(),
                "scaler": loop.scaler.state_dict(),
                "best": loop.progress.best,
                "stale": loop.progress.stale,
            }
        checkpoint.save(self.folder / f"{name}.pt", content)

    def _restore(self, saved: dict[str, Any]) -> None:
        path, state, loop = self.folder / "last.pt", saved["training"], self.loop
        if tuple(saved["classes"]) != self.classes:
            raise InputError(f"{path}: was trained on other classes than {self.config.data} has; use another --output")
        checkpoint.load_weights(self.model, state["model"], path)
        loop.optimizer.load_state_dict(state["optimizer"])
        loop.scaler.load_state_dict(state["scaler"])
        if loop.average and state["average"]:
            loop.average.load_state_dict(state["average"])
        loop.progress.iteration = saved["iteration"]
        loop.progress.metrics = saved["metrics"]
        loop.progress.best, loop.progress.stale = state["best"], state["stale"]

    def _conclude(self) -> Finished:
        """Evaluate best.pt and write predictions, numbers and a picture."""
        folder = self.folder
        files = {folder / "best.pt": "best weights, for frcnn predict and frcnn evaluate"}
        if self.splits.val is not None:
            # Sent, since the other ranks come here before the first has written the file.
            best = parallel.from_first(checkpoint.load(folder / "best.pt") if self.first else {})
            if self.task.result is None or best["iteration"] != self.loop.progress.iteration:
                checkpoint.load_weights(self.model, best["model"], folder / "best.pt")
                self.task.evaluate(self.model, best["iteration"])
            if self.first:
                files |= self._write_findings()
        files |= {
            folder / "last.pt": "the end of the run, to go on from with --resume true",
            folder / "metrics.jsonl": "losses, rates and validation metrics",
            folder / "results.csv": "a row per evaluation",
            folder / "tensorboard": "the same as curves: tensorboard --logdir " + str(folder),
            folder / "config.yaml": "the whole configuration",
        }
        return Finished(self.task.result, files)

    def _write_findings(self) -> dict[Path, str]:
        assert self.task.result is not None
        predictions, numbers = self.folder / "predictions.json", self.folder / "evaluation.json"
        write_results(predictions, self.task.results)
        write_atomically(numbers, json.dumps(to_json(self.task.result), indent=1).encode())
        files = {predictions: "detections in COCO's result format", numbers: "the 12 numbers and AP per class"}
        if self.task.picture is not None:
            save_picture(self.folder / "detections.png", self.task.picture)
            files[self.folder / "detections.png"] = "detections beside the ground truth"
        return files
