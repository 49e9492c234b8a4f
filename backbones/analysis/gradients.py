"""Gradient norms by stage and by layer: whether signals vanish on the way back (He et al. 2015, section 4.1).

The paper holds that plain nets with batch norm have healthy gradients and are hard to train for another reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from backbones.analysis.layers import main_path, weighted_layers
from backbones.modes import in_mode
from backbones.nets import Net, stages_of, within


@dataclass(frozen=True)
class _Squares:
    """Sums of squares of a layer's gradient and of its weight."""

    gradient: float
    weight: float


def gradient_norms(net: Net, pixels: Tensor, labels: Tensor, relative: bool = False) -> dict[str, float]:
    """Stage -> L2 norm of the gradient of the mean cross-entropy over the stage's convolution or classifier weights.

    Projections of shortcuts belong to their stage; norms and biases do not count. The net runs in training mode, as
    it is when it learns, and comes back with the mode, running statistics and gradients it had.

    Args:
        pixels: (B, 3, H, W) normalised float images.
        labels: (B,) classes.
        relative: divide by the norm of the same weights: how far a step of learning rate 1 would move them.
    """
    squares = _squares(net, pixels, labels)
    norms = {}
    for stage, modules in stages_of(net).items():
        own = [value for name, value in squares.items() if within(name, modules)]
        total = _Squares(sum(s.gradient for s in own), sum(s.weight for s in own))
        norms[stage] = _norm(total, relative)
    return norms


def layer_gradient_norms(net: Net, pixels: Tensor, labels: Tensor, relative: bool = False) -> dict[str, float]:
    """Path of every layer of the main path -> the norm of its weight's gradient, otherwise as `gradient_norms`."""
    squares = _squares(net, pixels, labels)
    return {name: _norm(squares[name], relative) for name in main_path(net)}


def _norm(squares: _Squares, relative: bool) -> float:
    if not relative:
        return squares.gradient**0.5
    return (squares.gradient / squares.weight) ** 0.5 if squares.weight else float("inf")


def _squares(net: Net, pixels: Tensor, labels: Tensor) -> dict[str, _Squares]:
    """Path of every weighted layer -> squares of its gradient and weight."""
    names = list(weighted_layers(net))
    tensors = _stand_ins(net)
    weights = [tensors[f"{name}.weight"] for name in names]
    with torch.enable_grad(), in_mode(net, training=True):
        scores = functional_call(net, tensors, (pixels.to(weights[0].device),))
        loss = F.cross_entropy(scores, labels.to(scores.device))
        gradients = torch.autograd.grad(loss, weights)
    return {
        name: _Squares(float(g.double().square().sum()), float(w.detach().double().square().sum()))
        for name, g, w in zip(names, gradients, weights)
    }


def _stand_ins(net: nn.Module) -> dict[str, Tensor]:
    """Tensors in place of all of a net's own for one pass, after which the net is as it was."""
    # Views of the parameters: frozen ones too have a gradient then, and none is left behind in `.grad`. Copies of the
    # buffers: batch norm writes its running statistics into them.
    parameters = {name: p.detach().requires_grad_() for name, p in net.named_parameters()}
    return {**parameters, **{name: b.clone() for name, b in net.named_buffers()}}
