"""All that moves while a model trains. A checkpoint holds it whole; the loop moves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from detection import parallel
from detection.config.training import TrainConfig
from detection.engine.ema import AveragedModel
from detection.engine.learning_rate import LearningRate, configured_rate
from detection.engine.length import Length
from detection.engine.optimizer import build_optimizer, restore_optimizer
from detection.engine.window import Window
from detection.errors import InputError

SAVED_PROGRESS = ("best", "best_iteration", "stale", "skipped", "unreadable")
"""Of the progress, what stands beside the weights in `last.pt`; the rest is in every checkpoint."""


@dataclass
class Progress:
    """How far a run is. best: the best value of the metric; best_iteration: whose weights `best.pt` holds; stale:
    evaluations since; metrics: of the last evaluation; skipped: steps left out; unreadable: images that others stood
    in for."""

    iteration: int = 0
    best: float | None = None
    best_iteration: int = 0
    stale: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    unreadable: list[str] = field(default_factory=list)


class TrainingState:
    """The model, as it is without other processes, with everything that its next step depends on.

    average: None where the run keeps no averaged weights; window: losses since the last report.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        rate: LearningRate,
        average: AveragedModel | None = None,
        scaled: bool = False,
    ) -> None:
        self.model, self.optimizer, self.rate, self.average = model, optimizer, rate, average
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.progress, self.window = Progress(), Window(self.device)

    @classmethod
    def at_start(
        cls, model: nn.Module, train: TrainConfig, length: Length, warmup_error: float | None = None
    ) -> TrainingState:
        """Before the first step."""
        bias_decay = train.weight_decay if train.bias_decay is None else train.bias_decay
        decays = train.weight_decay, train.norm_decay, bias_decay
        optimizer = build_optimizer(
            model, train.lr, train.momentum, *decays, kind=train.optimizer, bias_lr=train.bias_lr
        )
        average = AveragedModel(model, train.ema) if train.ema is not None else None
        return cls(model, optimizer, configured_rate(train, length, warmup_error), average, train.amp == "fp16")

    @property
    def length(self) -> Length:
        """Of the run."""
        return self.rate.length

    def evaluated_model(self) -> nn.Module:
        """The weights that count: the averaged ones where the run averages."""
        return self.average.module if self.average else self.model

    def state_dict(self) -> dict[str, Any]:
        """What `last.pt` holds to resume from; every rank must ask."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rate": self.rate.state_dict(),
            "window": self.window.state_dict(),
            "length": self.length.state_dict(),
            **{key: getattr(self.progress, key) for key in SAVED_PROGRESS},
        }

    def load_state_dict(self, state: dict[str, Any], iteration: int, metrics: dict[str, float]) -> None:
        """Continue as saved after `iteration` steps, whose last evaluation found `metrics`. Raises ValueError where the
        optimiser had other groups of parameters."""
        self.model.load_state_dict(state["model"])
        restore_optimizer(self.optimizer, state["optimizer"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.rate.load_state_dict(state["rate"])
        if self.average and state["average"]:
            self.average.load_state_dict(state["average"])
        elif self.average:  # asked for on the way: it begins with the restored weights
            self.average = AveragedModel(self.model, self.average.decay)
        self.window.load_state_dict(state["window"])
        if state.get("length"):
            self.length.load_state_dict(state["length"])
        self.progress = Progress(iteration, metrics=metrics, **{key: state[key] for key in SAVED_PROGRESS})

    def refuse_broken_weights(self) -> None:
        """Raise `InputError` where weights are not finite: they are neither measured nor saved."""
        for model in {self.model, self.evaluated_model()}:
            state = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
            sizes = torch.stack([size.float() for size in torch._foreach_norm(list(state.values()), torch.inf)])
            broken = [name for name, finite in zip(state, sizes.isfinite().tolist()) if not finite]
            if broken:
                raise InputError(
                    f"iteration {self.progress.iteration}: weights are no longer finite, first {broken[0]}; lower "
                    "train.lr or set train.clip, then resume from the last checkpoint with --resume"
                )

    def share_buffers(self) -> None:
        """Give the evaluated model the first rank's running statistics on every rank: what is measured is then what is
        saved."""
        parallel.share_buffers(self.evaluated_model())
