"""The learning rate: a function of the step and, for two of the paper's rules, of what the run has seen."""

from __future__ import annotations

import math
from typing import Any, Literal

from detection.config.training import TrainConfig
from detection.engine.length import Length

SMOOTHING = 0.95
"""Weight of the past in the running training error that ends a warm-up."""


class LearningRate:
    """Rate at each step of a run of some length.

    Linear warm-up over `warmup` steps, at most a quarter of the run, from `warmup_factor` of the rate (Goyal et al.
    2017). Then kind `step`: down by `gamma` after the given shares of the run; `cosine`: half a cosine to zero;
    `plateau`: down by `gamma` whenever `plateau` evaluations in a row bring no improvement. With `warmup_error`, the
    rate stays at `warmup_factor` of its value until the training error is below that share (He et al. 2015, section
    4.2).
    """

    def __init__(
        self,
        base: float,
        length: Length,
        kind: Literal["step", "cosine", "plateau"] = "step",
        steps: tuple[float, ...] = (),
        gamma: float = 0.1,
        warmup: int = 0,
        warmup_factor: float = 0.001,
        plateau: int = 3,
        warmup_error: float | None = None,
    ) -> None:
        self.base = base
        self.length = length
        self.kind = kind
        self.steps = steps
        self.gamma = gamma
        self.longest_warmup = warmup
        self.warmup_factor = warmup_factor
        self.plateau = plateau
        self.warmup_error = warmup_error
        self.drops = 0
        self.stale = 0
        self.error = 1.0
        self.warmed_up = False

    def __call__(self, step: int) -> float:
        if self.needs_error:
            return self.base * self.warmup_factor
        rate = self.base
        if step < self.warmup:
            share = step / self.warmup
            rate *= self.warmup_factor * (1 - share) + share
        if self.kind == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * self.length.share(step)))
        drops = self.drops if self.kind == "plateau" else sum(step >= self.length.step_at(s) for s in self.steps)
        return rate * self.gamma**drops

    @property
    def warmup(self) -> int:
        """Its steps."""
        return min(self.longest_warmup, self.length.total // 4)

    @property
    def needs_error(self) -> bool:
        """Whether the training error of each step is still to be told."""
        return self.warmup_error is not None and not self.warmed_up

    def saw_error(self, error: float) -> None:
        """The share of wrong images of a training step."""
        self.error = SMOOTHING * self.error + (1 - SMOOTHING) * error
        self.warmed_up = self.warmup_error is not None and self.error < self.warmup_error

    def saw_evaluation(self, better: bool) -> None:
        """Whether an evaluation was the best so far."""
        self.stale = 0 if better else self.stale + 1
        if self.stale == self.plateau:
            self.drops, self.stale = self.drops + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return {"drops": self.drops, "stale": self.stale, "error": self.error, "warmed_up": self.warmed_up}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drops, self.stale = state["drops"], state["stale"]
        self.error, self.warmed_up = state["error"], state["warmed_up"]


def configured_rate(train: TrainConfig, length: Length, warmup_error: float | None = None) -> LearningRate:
    """The learning rate of a run of this length."""
    return LearningRate(
        train.lr,
        length,
        train.schedule,
        tuple(train.steps),
        train.gamma,
        train.warmup,
        train.warmup_factor,
        train.plateau,
        warmup_error,
    )
