"""What the training loop knows of what is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Found:
    """What a task finds of a batch. losses: by name, their sum is minimised; images: in the batch; observed: scalars
    to report with the losses, `error` being the share of wrong images; unreadable: images that others stood in for,
    and why."""

    losses: dict[str, Tensor]
    images: int
    observed: dict[str, Tensor] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


class Task(Protocol):
    """What is learned."""

    def losses(self, model: nn.Module, batch: Any) -> Found:
        """One forward pass over a batch."""

    def evaluate(self, model: nn.Module, iteration: int) -> dict[str, float]:
        """Metrics of the model on the validation split; on every rank the same."""
