"""The training of a detector: its data, its model, its losses, and what its best weights find on the validation split.

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
from detection.config.idle import idle_settings
from detection.config.schema import Config
from detection.counted import counted
from detection.data.dataset import DetectionDataset, loader
from detection.data.hold_out import index_fingerprints
from detection.data.order import TrainingOrder, repeat_factors
from detection.engine.hardware import loaders
from detection.engine.trainable import Evaluation, Objective, StepLosses, TrainingResult
from detection.errors import InputError
from detection.evaluation.report import false_alarms, per_class_table, summary_table, to_json
from detection.evaluation.results import write_results
from detection.files.atomic import write_atomically
from detection.loading.datasets import Splits
from detection.loading.detectors import classifier_settings, starting_detector
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.output import save_picture
from detection.records import Batch
from detection.training.batch_pictures import BATCHES, NAME, batch_picture
from detection.training.proposal_cache import SplitProposals
from detection.training.validation import DetectorEvaluation, Validation


class DetectionObjective:
    """Losses of the detector, and its evaluation on the validation split, where there is one.

    pictured: how many batches from now on are drawn.
    """

    pictured = 0

    def __init__(self, validation: Validation | None, device: torch.device, class_names: Sequence[str]) -> None:
        self.validation, self.device, self.class_names = validation, device, class_names
        self._newest: tuple[int, DetectorEvaluation] | None = None

    def losses(self, model: nn.Module, batch: Batch) -> StepLosses:
        pictures = {NAME: batch_picture(batch, self.class_names)} if self.pictured > 0 else {}
        self.pictured -= 1
        batch = batch.to(self.device)
        return StepLosses(model(batch), len(batch.indices), unreadable=batch.unreadable, pictures=pictures)

    def evaluate(self, model: nn.Module, iteration: int) -> Evaluation:
        found = self.evaluation_of(model, iteration)
        if found is None:
            return Evaluation({})
        pictures = {} if found.picture is None else {"detections | ground truth": found.picture}
        return Evaluation(found.metrics, pictures)

    def evaluation_seconds(self, model: nn.Module) -> float:
        assert isinstance(model, FasterRCNN)
        return 0.0 if self.validation is None else self.validation.expected_seconds(model)

    def evaluation_of(self, model: nn.Module, iteration: int) -> DetectorEvaluation | None:
        """What the weights of `iteration` find; not computed again where they were the last evaluated."""
        assert isinstance(model, FasterRCNN)
        if self.validation is None:
            return None
        if self._newest is None or self._newest[0] != iteration:
            self._newest = iteration, self.validation.evaluate(model)
        return self._newest[1]


class DetectorTraining:
    """See `detection.engine.trainable.Trainable`. proposals: what the second stage sees in place of the RPN's."""

    kind = "detection"
    warmup_error: float | None = None

    def __init__(
        self, config: Config, device: torch.device, splits: Splits, proposals: SplitProposals | None = None
    ) -> None:
        self.config, self.device, self.splits = config, device, splits
        self.proposals = proposals or SplitProposals(None, None)
        self.class_names = splits.train.class_names
        self.metric: str = config.train.metric
        self.skip_unreadable = config.input.skip_unreadable
        self.data = DetectionDataset(splits.train, config.input, training=True, proposals=self.proposals.train)
        self.repeats = self._repeats()
        self.steps_per_epoch = self._order(0, 1).steps_per_epoch
        val = len(splits.val) if splits.val else 0
        counts = f"{len(splits.train)} training and {val} validation images, {counted(len(self.class_names), 'class')}"
        empty = int((np.diff(splits.train.offsets) == 0).sum())
        counts += f"; {empty} training images have no object and count as background" if empty else ""
        if config.dataset.repeat_factor and self.repeats is not None:
            often = f"{int((self.repeats > 1).sum())} images of rarer classes come up to {self.repeats.max():.1f} times"
            counts += f"; {often} an epoch"
        self.notes = [*splits.notes, *idle_settings(config), counts, *self._tiles_told()]
        self.data.try_augmentation()
        self.trained_on = index_fingerprints(splits.train)
        self.validated_on = self.trained_on[:0] if splits.val is None else index_fingerprints(splits.val)
        self.described = {}
        if splits.val is not None and splits.salt is not None:
            self.described = {"held_out.txt": "".join(f"{n.decode()}\n" for n in splits.val.file_names.tolist())}
        self.detection = DetectionObjective(self._validation(), device, self.class_names)
        self.objective: Objective = self.detection

    def build(self, from_scratch: bool) -> FasterRCNN:
        weights = self.config.model.weights if from_scratch else None
        path = Path(weights) if weights else None
        begin = starting_detector(path) if path is not None and path.is_file() else None
        if path is not None and begin is None:
            self._check_forms(path)
        try:
            model = build_model(self.config.model, len(self.class_names), weights if begin is None else None)
        except WeightsError as error:
            raise InputError(f"model.weights: {error}") from error
        if begin is not None and path is not None:
            kept = checkpoint.load_matching(model, begin.state, path, begin.classes, self.class_names)
            self.notes.append(_kept_predictor(kept, self.class_names, path))
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.config.train.compile:
            model.compile_trunk()
        return model

    def _check_forms(self, path: Path) -> None:
        """Refuse a classifier with its stride elsewhere, or another pool: the shapes are the same, so it would load and
        be wrong."""
        for key, trained in classifier_settings(path).items():
            own = getattr(self.config.model, key.removeprefix("model."))
            if own != trained:
                raise InputError(f"{key}: {own}, but {path} was trained with {trained}; set it as in the classifier")

    def batches(self, model: nn.Module, start: int, stop: int) -> Iterator[Batch]:
        assert isinstance(model, FasterRCNN)
        drawn = BATCHES if self.config.train.pictures and parallel.rank() == 0 else 0
        self.detection.pictured = drawn - start * self.config.train.accumulate
        pin, workers = self.device.type == "cuda", loaders(self.config.input.workers, self.device)
        return iter(loader(self.data, self._order(start, stop), workers, model.size_multiple, pin))

    def images_of(self, iteration: int) -> list[str]:
        return [str(self.data.index.path(draw.row)) for draw in self._order(0, 1).step(iteration)]

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> TrainingResult:
        found = self.detection.evaluation_of(model, iteration)
        if found is None:
            return TrainingResult(None, "", {})
        text = f"{summary_table(found.result)}\n\n{per_class_table(found.result)}"
        text = false_alarms(found.result, found.results) or text
        return TrainingResult(found.result, text, self._write(found, folder) if parallel.rank() == 0 else {})

    def _write(self, found: DetectorEvaluation, folder: Path) -> dict[Path, str]:
        sizes = self.config.input
        predictions, numbers = folder / "predictions.json", folder / "evaluation.json"
        content = {**to_json(found.result), "short_side": sizes.test_short_side, "long_side": sizes.long_side}
        write_results(predictions, found.results)
        write_atomically(numbers, json.dumps(content, indent=1).encode())
        files = {predictions: "detections in COCO's result format", numbers: "the 12 numbers and AP per class"}
        if found.picture is not None:
            save_picture(folder / "detections.png", found.picture)
            files[folder / "detections.png"] = "detections beside the ground truth"
        return files

    def _validation(self) -> Validation | None:
        config, val = self.config, self.splits.val
        if val is None:
            return None
        return Validation(
            DetectionDataset(val, config.input, training=False, proposals=self.proposals.val),
            config.input.test_short_side,
            config.evaluate.batch,
            loaders(config.input.workers, self.device),
            config.evaluate.backend,
            config.train.pictures,
            self.device,
        )

    def _repeats(self) -> np.ndarray | None:
        """(N,) how often each image, or view, comes an epoch; None: once."""
        factor, tiles = self.config.dataset.repeat_factor, self.data.tiles
        repeats = repeat_factors(self.data.index, factor) if factor else None
        if tiles is None:
            return repeats
        rate = np.where(tiles.empty(), self.config.input.tile_empty, 1.0)
        if not rate.any():
            raise InputError("input.tile_empty: 0 leaves nothing to learn from, since no image has an object; raise it")
        return rate if repeats is None else rate * repeats

    def _tiles_told(self) -> list[str]:
        tiles, sizes = self.data.tiles, self.config.input
        if tiles is None:
            return []
        if len(tiles.rows) == len(self.splits.train):
            return [f"warning: input.tile {sizes.tile} has no effect: no training image is larger"]
        empty = f"{tiles.empty().sum()} show no object, of which an epoch has {100 * sizes.tile_empty:g} %"
        return [f"tiles of {sizes.tile} pixels and whole images are {len(tiles.rows)} views; {empty}"]

    def _order(self, start: int, stop: int) -> TrainingOrder:
        train, data = self.config.train, self.config.input
        return TrainingOrder(
            self.data.index.sizes,
            train.batch,
            data.train_short_sides,
            self.config.seed,
            stop,
            start,
            data.group_by_aspect,
            parallel.rank(),
            parallel.world(),
            train.accumulate,
            self.repeats,
        )


def _kept_predictor(kept: list[str], classes: Sequence[str], path: Path) -> str:
    """Of which classes the box predictor of the weights at `path` is taken over."""
    if len(kept) == len(classes):
        return f"initialised from {path}, with the predictor of all classes"
    names = f"{', '.join(kept[:10])}{', ...' if len(kept) > 10 else ''}" if kept else "no class"
    others = counted(len(classes) - len(kept), "class")
    return f"initialised from {path}, with the predictor of {names}; {others} from random weights"
