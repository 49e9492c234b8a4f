"""SGD with the weight-decay rules of detectors."""

from __future__ import annotations

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
