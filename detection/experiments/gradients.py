"""Gradient norms by stage and layer, at initialisation, while nets learn, and of trained nets.

He et al. 2015, section 4.1 hold that plain nets with batch norm have healthy gradients and are hard to train for
another reason; here that can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.analysis.gradients import gradient_norms, layer_gradient_norms
from backbones.nets import Net, stages_of
from detection.classify.batches import normalise, training_batches
from detection.config.pretrain import PretrainConfig
from detection.engine.run import run
from detection.engine.settings import check_device
from detection.engine.trainable import Evaluation, Objective, TrainingResult
from detection.experiments.degradation import read_run
from detection.experiments.figures import GradientHistory, gradient_figure
from detection.experiments.report import Report
from detection.loading.class_images import ClassSplits, augmentation
from detection.loading.class_testing import check_classes
from detection.loading.classifiers import Classifier, build_classifier
from detection.markdown import markdown_table
from detection.training.classifier import ClassifierTraining, with_net

PAPER = """The paper gives no numbers: it reports that gradients of plain nets with batch norm do not vanish, and leaves
open why deep ones are hard to train."""

RELATIVE = "Norms are divided by those of the same weights: how far a step of learning rate 1 would move them.\n"


@dataclass(frozen=True)
class _Probe:
    """What norms are measured on: (B, 3, H, W) normalised images and their labels; see `gradient_norms`."""

    pixels: Tensor
    labels: Tensor
    relative: bool

    def stages(self, net: Net) -> dict[str, float]:
        return gradient_norms(net, self.pixels, self.labels, self.relative)

    def layers(self, net: Net) -> dict[str, float]:
        return layer_gradient_norms(net, self.pixels, self.labels, self.relative)


def gradients(
    config: PretrainConfig,
    nets: list[str],
    trained: dict[str, Classifier],
    splits: ClassSplits,
    images: int,
    relative: bool,
    device: torch.device,
    command: list[str],
) -> Report:
    """Norms of `nets`, from random weights and along `config.train.iterations` of training, and of `trained` ones.

    All are measured on the same `images` augmented training images; `relative`: divided by the norms of the weights.
    """
    for classifier in trained.values():
        check_classes(classifier, splits.train)
    probe = _Probe(*_batch(config, splits, images, device), relative)
    layers: dict[str, dict[str, float]] = {}
    histories: dict[str, GradientHistory] = {}
    for name in nets:
        # Beside the runs of other experiments, which measure errors, and of the other kind of norms.
        settings = with_net(config, name, f"{config.output}/gradients{'_relative' if relative else ''}/{name}")
        check_device(config.train, settings.net.norm, "net.norm", device)
        torch.manual_seed(config.seed)  # as the run below begins
        net = build_classifier(settings.net, len(splits.train.class_names)).to(device)
        layers[f"{name}, random"] = probe.layers(net)
        histories[name] = _history(settings, probe.stages(net), splits, probe, device)
    for source, classifier in trained.items():
        name = f"{source}, trained"  # a net of the same name may be among those that learn here
        layers[name] = probe.layers(classifier.net)
        histories[name] = GradientHistory([0], _single(probe.stages(classifier.net)))
    numbers: dict[str, Any] = {name: {"iterations": h.iterations, "norms": h.norms} for name, h in histories.items()}
    moving = {name: history for name, history in histories.items() if len(history.iterations) > 1}
    return Report(
        "gradients",
        "Gradient norms by layer and stage",
        command,
        {"images": len(probe.labels), "relative": relative, "layers": layers, "stages": numbers},
        f"{_table(histories)}\n{RELATIVE if relative else ''}{PAPER}",
        {"gradients": gradient_figure(layers, moving, relative)},
    )


def _batch(config: PretrainConfig, splits: ClassSplits, images: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised augmented training images (B, 3, H, W), spread over the split, and their labels."""
    count = len(splits.train)
    rows = [i * count // min(images, count) for i in range(min(images, count))]
    order = [[(row, config.seed + row) for row in rows]]
    batch = next(iter(training_batches(splits.train, augmentation(config.input, splits.train), order, 0))).to(device)
    return normalise(batch.pixels, batch.shifts), batch.labels


def _history(
    config: PretrainConfig, start: dict[str, float], splits: ClassSplits, probe: _Probe, device: torch.device
) -> GradientHistory:
    """Norms by stage of a net while it learns, from `start` on; a folder with a run is resumed."""
    run(config, _GradientTraining(config, device, splits, probe), device)
    rows = read_run(Path(config.output))["val"]
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


class _GradientTraining(ClassifierTraining):
    """A classifier's training whose validation measures gradients."""

    def __init__(self, config: PretrainConfig, device: torch.device, splits: ClassSplits, probe: _Probe) -> None:
        super().__init__(config, device, splits)
        self.metric = next(iter(stages_of(build_classifier(config.net, len(self.class_names)))))
        self.objective = _GradientObjective(self.objective, probe)

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> TrainingResult:
        return TrainingResult(None, "", {})


class _GradientObjective:
    """Losses of another objective; gradient norms by stage in place of its errors."""

    def __init__(self, objective: Objective, probe: _Probe) -> None:
        self.losses = objective.losses
        self.probe = probe

    def evaluate(self, model: nn.Module, iteration: int) -> Evaluation:
        return Evaluation(self.probe.stages(model))  # type: ignore[arg-type]

    def evaluation_seconds(self, model: nn.Module) -> float:
        return 0.0  # a few passes forward and back, of a run of thousands
