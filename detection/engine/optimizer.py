"""SGD and AdamW with the weight-decay rules of detectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_optimizer(
    model: nn.Module,
    lr: float,
    momentum: float,
    weight_decay: float,
    norm_decay: float,
    bias_decay: float,
    fused: bool | None = None,
    kind: str = "sgd",
    bias_lr: float = 1.0,
) -> Optimizer:
    """The optimiser `kind`, sgd or adamw, over the parameters that train: up to three groups, `weights`, `norms` and
    `biases`, each with its decay.

    The groups are the same whatever the decays are, so that a run can be resumed with others.
    bias_lr: rate of the biases, as a multiple of `lr`; the `scale` of their group.
    fused: one kernel an update, which can leave a step out by what the device knows; default on CUDA.
    """
    decays = {"weights": weight_decay, "norms": norm_decay, "biases": bias_decay}
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in decays}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                part = "norms" if isinstance(module, NORMS) else "biases" if name == "bias" else "weights"
                groups[part].append(parameter)
    scales = {"weights": 1.0, "norms": 1.0, "biases": bias_lr}
    parameters = [
        {"params": group, "weight_decay": decays[part], "scale": scales[part], "kind": part}
        for part, group in groups.items()
        if group
    ]
    every = [p for group in groups.values() for p in group]
    if fused is None:
        fused = all(p.is_cuda for p in every)
    if kind == "adamw":
        return AdamW(parameters, lr=lr, fused=fused or None)
    optimizer = SGD(parameters, lr=lr, momentum=momentum, fused=fused or None)
    _fill_momentum(optimizer)
    return optimizer


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load what the saved steps have gathered, of any device; rate, momentum and decays stay those of `optimizer`.

    Raises ValueError where its groups are others.
    """
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    _fill_momentum(optimizer)


def _fill_momentum(optimizer: Optimizer) -> None:
    """Zeros in place of momentum that is not there yet: the first step makes it otherwise, but a fused one that is left
    out does not fill it."""
    if not optimizer.defaults["fused"] or not isinstance(optimizer, SGD):
        return
    for group in optimizer.param_groups:
        for p in group["params"] if group["momentum"] else []:
            if optimizer.state[p].get("momentum_buffer") is None:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
