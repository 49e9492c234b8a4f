"""Averaged weights: an exponential moving average of the trained ones."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedModel:
    """A copy of a model whose floating-point tensors follow the original's.

    After update n the copy moves by 1 - min(decay, (1 + n) / (10 + n)) towards the model: early averages forget the
    random start quickly. Integer buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        own, given = _tensors(self.module), _tensors(model)
        moving = [(a, b) for a, b in zip(own, given) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in moving], [b for _, b in moving], 1 - keep)
        for a, b in zip(own, given):
            if not a.is_floating_point():
                a.copy_(b)

    def state_dict(self) -> dict[str, object]:
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.module.load_state_dict(state["module"])  # type: ignore[arg-type]
        self.updates = int(state["updates"])  # type: ignore[call-overload]


def _tensors(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())
