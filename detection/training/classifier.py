"""The training of a classifier: its data, its net, and what its best weights achieve.

error.json         validation and test error of best.pt
backbone.pt        best.pt with batch norm statistics computed anew, where the config asks for it
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from backbones.nets import Net, NetName
from backbones.norm import recompute_statistics
from backbones.pretrained import WeightsError, load_pretrained
from detection import checkpoint, parallel
from detection.classify.batches import ImageBatch, normalise, training_batches
from detection.config.idle import idle_settings
from detection.config.origin import Setting
from detection.config.pretrain import NetConfig, PretrainConfig
from detection.counted import counted
from detection.data.order import TrainingOrder
from detection.engine.hardware import loaders
from detection.engine.run import run
from detection.engine.settings import check_device
from detection.engine.trainable import Objective, TrainingResult
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.loading.class_images import ClassSplits, augmentation, load_class_splits, view_of
from detection.loading.classifiers import build_classifier
from detection.training.class_validation import ClassificationObjective


def pretrain(
    config: PretrainConfig,
    splits: ClassSplits | None = None,
    origins: Mapping[str, Setting] | None = None,
    dry: bool = False,
) -> TrainingResult | None:
    """Run the training of a classifier that `config` describes; ranks other than the first return None. origins: where
    its settings come from, by key, for the comments of config.yaml; dry: only the first steps, and their forecast.

    Raises `InputError` for what the user can fix, `Interrupted` when asked to stop by a signal.
    """
    check_net(config.net)
    device = parallel.start(parallel.choose_device(config.device))
    if parallel.restarted():  # by torchrun, after a failure: what was saved is resumed
        config = replace(config, resume=True)
    try:
        check_device(config.train, config.net.norm, "net.norm", device)
        torch.backends.cudnn.benchmark = True  # crops are all of one size; concerns NVIDIA GPUs alone
        splits = splits or load_class_splits(config)
        if splits.held:
            count, salt = splits.held
            config = replace(config, dataset=replace(config.dataset, hold_out=count, hold_out_salt=salt))
        return run(config, ClassifierTraining(config, device, splits), device, origins, dry=dry)
    finally:
        parallel.stop()


def with_net(config: PretrainConfig, name: str, output: str) -> PretrainConfig:
    """`config` for a run of another net in a folder that is resumed; nets without shortcuts get none. name: NET, or
    NET:OPTION with an option of the shortcut, as `cifar_resnet20:B`.

    Raises `InputError` for a net that does not exist.
    """
    name, _, option = name.partition(":")
    shared = None if check_net(replace(config.net, name=name, shortcut=None)).plain else config.net.shortcut
    net = replace(config.net, name=name, shortcut=cast("Literal['A', 'B', 'C'] | None", option or shared))
    check_net(net)
    return replace(config, output=output, resume=True, net=net)


def check_net(net: NetConfig) -> NetName:
    """What the net's name says. Raises `InputError` for a net that does not exist."""
    try:
        parsed = NetName.parse(net.name)
        parsed.shortcut(net.shortcut)
        return parsed
    except ValueError as error:
        raise InputError(str(error)) from error


class ClassifierTraining:
    """See `detection.engine.trainable.Trainable`."""

    kind = "classification"
    skip_unreadable = 0

    def __init__(self, config: PretrainConfig, device: torch.device, splits: ClassSplits) -> None:
        self.config, self.device, self.splits = config, device, splits
        self.class_names = splits.train.class_names
        self.metric: str = config.train.metric
        self.trained_on = self.validated_on = np.zeros(0, dtype=np.int64)
        if splits.held and splits.val is not None:  # else each split has images of its own
            self.trained_on, self.validated_on = splits.train.fingerprints(), splits.val.fingerprints()
        self.described: dict[str, str] = {}
        self._workers = loaders(config.input.workers, device)
        self.warmup_error = config.train.warmup_error
        self.augmentation = augmentation(config.input, splits.train)
        self.steps_per_epoch = self._order(0, 1).steps_per_epoch
        self.notes = [*idle_settings(config), *splits.lines]
        if self.metric == "top5_error" and len(self.class_names) <= 5:
            raise InputError(
                f"train.metric: top5_error has no meaning for {counted(len(self.class_names), 'class')}; use top1_error"
            )
        self.classification = ClassificationObjective(
            splits.val,
            view_of(config.evaluate, config.input),
            config.evaluate.batch,
            self._workers,
            config.train.label_smoothing,
            device,
        )
        self.objective: Objective = self.classification

    def build(self, from_scratch: bool) -> Net:
        settings = self.config.net
        net = build_classifier(settings, len(self.class_names))
        if from_scratch and settings.weights is not None:
            try:
                load_pretrained(net, settings.name, settings.weights)
            except WeightsError as error:
                raise InputError(f"net.weights: {error}") from error
        net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.config.train.compile:
            net.compile()
        return net

    def batches(self, model: nn.Module, start: int, stop: int) -> Iterator[ImageBatch]:
        draws = ([(draw.row, draw.seed) for draw in batch] for batch in self._order(start, stop))
        pin = self.device.type == "cuda"
        return training_batches(self.splits.train, self.augmentation, draws, self._workers, pin)

    def images_of(self, iteration: int) -> list[str]:
        train = self.splits.train
        return [train.called(draw.row) for draw in self._order(0, 1).step(iteration)]

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> TrainingResult:
        found = {
            name: self.classification.measure(model, images)
            for name, images in (("validation", self.splits.val), ("test", self.splits.test))
            if images is not None
        }
        text = "\n".join(f"{name} of iteration {iteration}: {_sentence(errors)}" for name, errors in found.items())
        files = {}
        if parallel.rank() == 0 and found:
            write_atomically(folder / "error.json", json.dumps({"iteration": iteration, **found}, indent=1).encode())
            files[folder / "error.json"] = "errors of best.pt"
        if self.config.statistics:
            files |= self._write_backbone(model, folder)
        return TrainingResult(found or None, text, files)

    def _write_backbone(self, model: nn.Module, folder: Path) -> dict[Path, str]:
        """Every rank computes the same statistics; the first one writes."""
        recompute_statistics(model, self._training_images())
        if parallel.rank():
            return {}
        best = checkpoint.load(folder / "best.pt", self.kind)
        checkpoint.save(folder / "backbone.pt", {**best, "metrics": {}, "model": model.state_dict()})
        batch, batches = self._statistics_batches()
        return {folder / "backbone.pt": f"best.pt with batch norm statistics of {batch * batches} training images"}

    def _statistics_batches(self) -> tuple[int, int]:
        """Images in a batch, and batches: whole ones, as the average over batches weighs all alike."""
        images = min(self.config.statistics, len(self.splits.train))
        batch = min(self.config.train.batch, images)
        return batch, images // batch

    def _training_images(self) -> Iterator[Tensor]:
        """Augmented training images, normalised, in batches of the training's size."""
        train, (batch, batches) = self.splits.train, self._statistics_batches()
        order = TrainingOrder(_sizes(len(train)), batch, [0], self.config.seed, batches, 0, False)
        draws = ([(draw.row, draw.seed) for draw in draw_batch] for draw_batch in order)
        for found in training_batches(train, self.augmentation, draws, self._workers):
            moved = found.to(self.device)
            yield normalise(moved.pixels, moved.shifts)

    def _order(self, start: int, stop: int) -> TrainingOrder:
        train = self.config.train
        rank, world = parallel.rank(), parallel.world()
        sizes = _sizes(len(self.splits.train))
        return TrainingOrder(
            sizes, train.batch, [0], self.config.seed, stop, start, False, rank, world, train.accumulate
        )


def _sizes(count: int) -> np.ndarray:
    """Stand-in for image sizes, by which a classifier's batches are not grouped."""
    return np.ones((count, 2), dtype=np.int64)


def _sentence(errors: dict[str, float]) -> str:
    parts = [f"{name.replace('_', ' ')} {100 * value:.2f} %" for name, value in errors.items() if name != "loss"]
    return ", ".join([*parts, f"loss {errors['loss']:.4f}"])
