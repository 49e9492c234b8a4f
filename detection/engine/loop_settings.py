"""How often a training looks up from its steps, and what it bears."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopSettings:
    """The *_every: iterations between, None: by the length of the run; splits: passes an iteration; metric: what
    decides which weights are best; patience: evaluations without improvement before stopping; skip_nonfinite: steps,
    and skip_unreadable: images, that may be left out before the run stops."""

    splits: int
    seed: int
    clip: float | None
    amp: str
    log_every: int
    evaluate_every: int | None
    checkpoint_every: int | None
    metric: str
    patience: int | None
    skip_nonfinite: int = 0
    skip_unreadable: int = 0
    steps_per_epoch: int = 1
