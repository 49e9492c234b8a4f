"""How much of the gradient comes through paths of each length (Veit, Wilber & Belongie 2016, section 5).

A residual net of n blocks is a sum over 2^n paths, each of which goes through the convolutions of some blocks and
around those of the others. There are binomially many paths of a length, but those that are long carry almost no
gradient.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.analysis.layers import Block, blocks_of
from backbones.analysis.lesion import computing
from backbones.modes import in_mode
from backbones.nets import Net


@dataclass(frozen=True)
class PathLengths:
    """Of a net of n residual blocks, for the lengths 0 to n: how many blocks' convolutions a path goes through.

    paths: share of all 2^n paths that have the length. norms: mean norm of the gradient at the image of a path of it.
    gradient: share of the gradient that paths of it carry, their number times the norm of one.
    """

    paths: tuple[float, ...]
    norms: tuple[float, ...]
    gradient: tuple[float, ...]

    def central(self, share: float = 0.9) -> tuple[int, int]:
        """The shortest run of lengths (first, last) that carries `share` of the gradient."""
        count = len(self.gradient)
        runs = [
            (last - first, first, last)
            for first in range(count)
            for last in range(first, count)
            if sum(self.gradient[first : last + 1]) >= share
        ]
        _, first, last = min(runs)
        return first, last


def path_lengths(net: Net, batches: Sequence[tuple[Tensor, Tensor]], draws: int, seed: int) -> PathLengths:
    """Measured on `draws` random paths of each length; path i on batch i, from the first again after the last.

    The net runs forward as it is, in evaluation mode; back, the gradient of the mean cross-entropy takes the one path.

    Args:
        batches: normalised float images (B, 3, H, W) and their classes (B,).

    Raises `ValueError` for a net without residual blocks.
    """
    blocks = [block for block in blocks_of(net).values() if not block.plain]
    if not blocks:
        raise ValueError("it has no residual blocks, so one path alone")
    random_ = random.Random(seed)
    norms = []
    for length in range(len(blocks) + 1):
        found = [_norm(net, blocks, random_.sample(blocks, length), *batches[i % len(batches)]) for i in range(draws)]
        norms.append(sum(found) / draws)
    return shares(norms)


def shares(norms: Sequence[float]) -> PathLengths:
    """What follows from the mean norm of the gradient through one path of each length, 0 to n.

    Raises `ValueError` where no path carries any.
    """
    n = len(norms) - 1
    paths = [math.comb(n, length) / 2**n for length in range(n + 1)]
    weights = [share * norm for share, norm in zip(paths, norms)]
    total = sum(weights)
    if not total:
        raise ValueError("no path carries any gradient")
    return PathLengths(tuple(paths), tuple(norms), tuple(weight / total for weight in weights))


def _norm(net: Net, blocks: list[Block], through: list[Block], pixels: Tensor, labels: Tensor) -> float:
    device = next(net.parameters()).device
    pixels = pixels.to(device).requires_grad_()
    with torch.enable_grad(), in_mode(net, training=False), _on_path(blocks, through):
        loss = F.cross_entropy(net(pixels), labels.to(device))
        (gradient,) = torch.autograd.grad(loss, pixels)
    return float(gradient.double().norm())


@contextlib.contextmanager
def _on_path(blocks: list[Block], through: list[Block]) -> Iterator[None]:
    """Gradients go through the convolutions of `through` and around those of the other blocks."""
    chosen = set(through)
    with computing({block: partial(_routed, block, block in chosen) for block in blocks}):
        yield


def _routed(block: Block, through: bool, x: Tensor) -> Tensor:
    added, beside = block.residual(x), block.beside(x)
    assert beside is not None, "a plain block has one way"
    total = added + beside.detach() if through else added.detach() + beside
    return F.relu(total) if block.relu_behind else total
