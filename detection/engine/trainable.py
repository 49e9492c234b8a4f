"""What a training asks of the thing that is trained: its model, data, losses, validation, and what it achieves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn


@dataclass(frozen=True)
class StepLosses:
    """Losses of one batch. losses: by name, their sum is minimised; images: in the batch; observed: scalars to report
    with the losses, `error` being the share of wrong images; unreadable: images that others stood in for, and why;
    pictures: of the batch, by name, (H, W, 3) uint8."""

    losses: dict[str, Tensor]
    images: int
    observed: dict[str, Tensor] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on the validation split. metrics: by name, empty where there is no such split; pictures: by
    name, (H, W, 3) uint8."""

    metrics: dict[str, float]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


class Objective(Protocol):
    """What is minimised, and what the model is judged by. All that the training loop knows of what is trained."""

    def losses(self, model: nn.Module, batch: Any) -> StepLosses:
        """One forward pass over a batch."""

    def evaluate(self, model: nn.Module, iteration: int) -> Evaluation:
        """The model, after `iteration` steps, on the validation split; on every rank the same metrics."""

    def evaluation_seconds(self, model: nn.Module) -> float:
        """About how long that takes, by a few images of this rank; 0 where there is nothing to evaluate on."""


@dataclass(frozen=True)
class TrainingResult:
    """What the best weights of a run achieve. evaluation: numbers, None where there was nothing to evaluate on;
    summary: the same as tables for a terminal; files: what was written, path -> what it is."""

    evaluation: Any
    summary: str
    files: dict[Path, str]


class Trainable(Protocol):
    """A detector or a classifier with the data that it learns from.

    kind: `detection` or `classification`, as checkpoints call it; class_names: in label order; steps_per_epoch:
    iterations; metric: of an evaluation, decides which weights are best; warmup_error: see `LearningRate`;
    skip_unreadable: images that others may stand in for; notes: what a user should know of the data and the start,
    complete once the model is built; described: files that tell of the data, name -> text; trained_on, validated_on:
    (N,) int64, fingerprints of the images of both splits, empty where there are none.
    """

    kind: str
    class_names: tuple[str, ...]
    steps_per_epoch: int
    metric: str
    warmup_error: float | None
    skip_unreadable: int
    notes: list[str]
    described: dict[str, str]
    trained_on: np.ndarray
    validated_on: np.ndarray
    objective: Objective

    def build(self, from_scratch: bool) -> nn.Module:
        """The model on its device; with `from_scratch` it has its first weights, else a checkpoint will bring them."""

    def batches(self, model: nn.Module, start: int, stop: int) -> Iterator[Any]:
        """Training batches from iteration `start` to `stop`."""

    def images_of(self, iteration: int) -> list[str]:
        """Names of the images, over all ranks, of an iteration from 0."""

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> TrainingResult:
        """What the best weights, of `iteration`, achieve. On all ranks; the first one writes into `folder`."""
