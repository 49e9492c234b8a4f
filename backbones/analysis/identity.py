"""What identity shortcuts promise, checked number by number (He et al. 2016, section 2).

Where every block of a stage is x + F(x), with nothing behind the addition, a later map is an earlier one plus a sum,

    x_L = x_l + F(x_l) + ... + F(x_{L-1})                            (4)

and the gradient of the loss E has a term that no weight touches,

    dE/dx_l = dE/dx_L + dE/dx_L d(F(x_l) + ... + F(x_{L-1}))/dx_l    (5)

A ReLU behind the addition, as in the nets of 2015, breaks both.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.analysis.layers import Block, blocks_of
from backbones.nets import Net


@dataclass(frozen=True)
class StageIdentity:
    """One stage behind its first block, from x_l to its end x_L; norms are of a batch's whole map.

    stage: name of the module, `layer2`; blocks: how many lie between; forward, backward: how far the two sides of (4)
    and of (5) are apart, as a share of the left one's norm; gradients: norm of dE/dx before each block and behind the
    last, so blocks + 1; direct: the direct term's part of dE/dx_l, along it: <dE/dx_L, dE/dx_l> / |dE/dx_l|^2.
    """

    stage: str
    blocks: int
    forward: float
    backward: float
    gradients: tuple[float, ...]
    direct: float


def identities(net: Net, pixels: Tensor, labels: Tensor) -> list[StageIdentity]:
    """Both sides of (4) and (5) in each stage of at least two blocks, for the mean cross-entropy of a batch.

    The net runs in training mode and float64, as a copy; `net` is not touched. In a plain net F(x) is the last norm's
    output, as in a residual one, and no sum holds.

    Args:
        pixels: (B, 3, H, W) normalised float images.
        labels: (B,) classes.

    Raises `ValueError` where no stage has two blocks.
    """
    net = copy.deepcopy(net).double().train()
    for parameter in net.parameters():
        parameter.requires_grad_(True)  # a net of frozen weights alone would have no graph
    stages: dict[str, list[Block]] = {}
    for name, block in blocks_of(net).items():
        stages.setdefault(name.rpartition(".")[0], []).append(block)
    stages = {name: blocks[1:] for name, blocks in stages.items() if len(blocks) > 1}
    if not stages:
        raise ValueError("it has no stage of two blocks, so no map between them; take a deeper net")
    maps = _maps(net, pixels, stages)
    loss = F.cross_entropy(maps.pop("scores")[0], labels)
    every = [x for stage in maps.values() for x in stage]
    gradients = iter(torch.autograd.grad(loss, every))
    return [_stage(name, stages[name], xs, [next(gradients) for _ in xs]) for name, xs in maps.items()]


def _maps(net: nn.Module, pixels: Tensor, stages: dict[str, list[Block]]) -> dict[str, list[Tensor]]:
    """Stage -> the map before each block and the one behind the last, with the graph; `scores` -> the scores."""
    maps: dict[str, list[Tensor]] = {name: [] for name in stages}

    def before(name: str) -> object:
        return lambda _, inputs: maps[name].append(inputs[0])

    def behind(name: str) -> object:
        return lambda _, inputs, output: maps[name].append(output)

    for name, blocks in stages.items():
        for block in blocks:
            block.register_forward_pre_hook(before(name))  # type: ignore[arg-type]
        blocks[-1].register_forward_hook(behind(name))  # type: ignore[arg-type]
    with torch.enable_grad():
        scores = net(pixels.double())
    for blocks in stages.values():
        for block in blocks:
            block._forward_pre_hooks.clear()
            block._forward_hooks.clear()
    return {**maps, "scores": [scores]}


def _stage(name: str, blocks: list[Block], xs: list[Tensor], gradients: list[Tensor]) -> StageIdentity:
    last, first = gradients[-1], gradients[0]
    start = xs[0].detach().requires_grad_()
    with torch.enable_grad():
        x, parts = start, []
        for block in blocks:
            parts.append(block.residual(x))
            x = block(x)
        added = torch.stack(parts).sum(0)
        (through,) = torch.autograd.grad(added, start, last)
    return StageIdentity(
        name,
        len(blocks),
        _apart(xs[-1], xs[0] + added),
        _apart(first, last + through),
        tuple(float(g.norm()) for g in gradients),
        float((last * first).sum() / first.square().sum()),
    )


def _apart(left: Tensor, right: Tensor) -> float:
    return float((left - right).detach().norm() / left.detach().norm())
