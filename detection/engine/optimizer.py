"""SGD with the weight-decay rules of detectors, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import SGD

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_optimizer(
    model: nn.Module, lr: float, momentum: float, weight_decay: float, norm_decay: float, bias_decay: float
) -> SGD:
    """SGD over the parameters that train: three groups with the decay of weights, of norms and of biases."""
    groups: dict[float, list[nn.Parameter]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                decay = norm_decay if isinstance(module, NORMS) else bias_decay if name == "bias" else weight_decay
                groups.setdefault(decay, []).append(parameter)
    parameters = [{"params": group, "weight_decay": decay} for decay, group in groups.items()]
    return SGD(parameters, lr=lr, momentum=momentum)


@dataclass(frozen=True)
class LearningRate:
    """Rate at each step of a run of `total` steps.

    Linear warm-up over `warmup` steps from `warmup_factor` of the rate (Goyal et al. 2017), then steps down by `gamma`
    after the given shares of the run, or half a cosine to zero.
    """

    base: float
    total: int
    kind: Literal["step", "cosine"] = "step"
    steps: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup: int = 0
    warmup_factor: float = 0.001

    def __call__(self, step: int) -> float:
        rate = self.base
        if step < self.warmup:
            share = step / self.warmup
            rate *= self.warmup_factor * (1 - share) + share
        if self.kind == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * min(step / self.total, 1.0)))
        return rate * self.gamma ** sum(step >= round(s * self.total) for s in self.steps)
