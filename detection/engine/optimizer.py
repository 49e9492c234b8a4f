"""SGD with the weight-decay rules of detectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_optimizer(
    model: nn.Module,
    lr: float,
    momentum: float,
    weight_decay: float,
    norm_decay: float,
    bias_decay: float,
    fused: bool | None = None,
) -> SGD:
    """SGD over the parameters that train: three groups with the decay of weights, of norms and of biases.

    fused: one kernel an update, which can leave a step out by what the device knows; default on CUDA.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                decay = norm_decay if isinstance(module, NORMS) else bias_decay if name == "bias" else weight_decay
                groups.setdefault(decay, []).append(parameter)
    parameters = [{"params": group, "weight_decay": decay} for decay, group in groups.items()]
    every = [p for group in groups.values() for p in group]
    if fused is None:
        fused = all(p.is_cuda for p in every)
    optimizer = SGD(parameters, lr=lr, momentum=momentum, fused=fused or None)
    if fused and momentum:  # made by the first step otherwise, but not filled where that one is left out
        for p in every:
            optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    return optimizer


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state, of any device. Raises ValueError where its groups are others."""
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group["fused"] = optimizer.defaults["fused"]
