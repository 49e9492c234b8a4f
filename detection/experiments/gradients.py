"""Gradient norms by stage and layer, at initialisation, while nets learn, and of trained nets.

He et al. 2015, section 4.1 hold that plain nets with batch norm have healthy gradients and are hard to train for
another reason; here that can be looked at.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.analysis.figures import GradientHistory, gradient_figure
from backbones.analysis.gradients import gradient_norms, layer_gradient_norms
from backbones.analysis.tables import markdown_table
from backbones.classify.batches import normalise, training_batches
from backbones.nets import stages_of
from detection.config.pretrain import PretrainConfig
from detection.engine.class_images import ClassSplits, augmentation
from detection.engine.class_testing import check_classes
from detection.engine.classifier import ClassifierProblem, check_net
from detection.engine.journal import Journal
from detection.engine.loop import Task
from detection.engine.restore import Classifier, build_classifier
from detection.engine.run import Findings, check_device, run
from detection.errors import mending
from detection.experiments.degradation import read_run
from detection.experiments.report import Report

PAPER = """The paper gives no numbers: it reports that gradients of plain nets with batch norm do not vanish, and leaves
open why deep ones are hard to train."""


def gradients(
    config: PretrainConfig,
    nets: list[str],
    trained: dict[str, Classifier],
    splits: ClassSplits,
    images: int,
    device: torch.device,
    command: list[str],
) -> Report:
    """Norms of `nets`, from random weights and along `config.train.iterations` of training, and of `trained` ones.

    All are measured on the same `images` augmented training images.
    """
    for classifier in trained.values():
        check_classes(classifier, splits.train)
    with mending():
        pixels, labels = _batch(config, splits, images, device)
    layers: dict[str, dict[str, float]] = {}
    histories: dict[str, GradientHistory] = {}
    for name in nets:
        settings = replace(config.net, name=name)
        check_net(settings)
        check_device(config.train, settings.norm, "net.norm", device)
        torch.manual_seed(config.seed)  # as the run below begins
        net = build_classifier(settings, len(splits.train.class_names)).to(device)
        layers[f"{name}, random"] = layer_gradient_norms(net, pixels, labels)
        start = gradient_norms(net, pixels, labels)
        histories[name] = _history(config, name, start, splits, pixels, labels, device)
    for source, classifier in trained.items():
        name = f"{source}, trained"  # a net of the same name may be among those that learn here
        layers[name] = layer_gradient_norms(classifier.net, pixels, labels)
        histories[name] = GradientHistory([0], _single(gradient_norms(classifier.net, pixels, labels)))
    numbers: dict[str, Any] = {name: {"iterations": h.iterations, "norms": h.norms} for name, h in histories.items()}
    moving = {name: history for name, history in histories.items() if len(history.iterations) > 1}
    return Report(
        "gradients",
        "Gradient norms by layer and stage",
        command,
        {"images": len(labels), "layers": layers, "stages": numbers},
        f"{_table(histories)}\n{PAPER}",
        {"gradients": gradient_figure(layers, moving)},
    )


def _batch(config: PretrainConfig, splits: ClassSplits, images: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised augmented training images (B, 3, H, W), spread over the split, and their labels."""
    count = len(splits.train)
    rows = [i * count // min(images, count) for i in range(min(images, count))]
    order = [[(row, config.seed + row) for row in rows]]
    batch = next(iter(training_batches(splits.train, augmentation(config.input, splits.train), order, 0))).to(device)
    return normalise(batch.pixels, batch.shifts), batch.labels


def _history(
    config: PretrainConfig,
    name: str,
    start: dict[str, float],
    splits: ClassSplits,
    pixels: Tensor,
    labels: Tensor,
    device: torch.device,
) -> GradientHistory:
    """Norms by stage of a net while it learns, from `start` on; a folder with a run is gone on with."""
    folder = f"{config.output}/gradients/{name}"  # beside the runs of other experiments, which measure errors
    settings = replace(config, output=folder, resume=True, net=replace(config.net, name=name))
    with mending():
        run(settings, _Problem(settings, device, splits, pixels, labels), device)
    rows = read_run(Path(folder))["val"]
    norms = {stage: [norm, *(row[stage] for row in rows)] for stage, norm in start.items()}
    return GradientHistory([0, *(row["iteration"] for row in rows)], norms)


def _single(norms: dict[str, float]) -> dict[str, list[float]]:
    return {stage: [norm] for stage, norm in norms.items()}


def _table(histories: dict[str, GradientHistory]) -> str:
    stages = list(dict.fromkeys(stage for history in histories.values() for stage in history.norms))
    rows: list[list[object]] = []
    for name, history in histories.items():
        for position in dict.fromkeys((0, len(history.iterations) - 1)):
            when = "as they are" if len(history.iterations) == 1 else f"iteration {history.iterations[position]}"
            values = [f"{history.norms[s][position]:.3g}" if s in history.norms else None for s in stages]
            rows.append([name, when, *values])
    return markdown_table(["net", "weights", *stages], rows, "ll" + "r" * len(stages))


class _Problem(ClassifierProblem):
    """A classifier's training whose validation measures gradients."""

    def __init__(
        self, config: PretrainConfig, device: torch.device, splits: ClassSplits, pixels: Tensor, labels: Tensor
    ) -> None:
        super().__init__(config, device, splits)
        self.metric = next(iter(stages_of(build_classifier(config.net, len(self.classes)))))
        self.pixels, self.labels = pixels, labels

    def learning(self, journal: Journal | None) -> Task:
        return _Task(super().learning(journal), self.pixels, self.labels)

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> Findings:
        return Findings(None, "", {})


class _Task:
    """Losses of another task; gradient norms by stage in place of its errors."""

    def __init__(self, task: Task, pixels: Tensor, labels: Tensor) -> None:
        self.losses = task.losses
        self.pixels, self.labels = pixels, labels

    def evaluate(self, model: nn.Module, iteration: int) -> dict[str, float]:
        return gradient_norms(model, self.pixels, self.labels)  # type: ignore[arg-type]
