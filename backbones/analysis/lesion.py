"""Deleting blocks of a trained net (Veit, Wilber & Belongie 2016, section 4.1).

A residual net loses little without one block, as an ensemble of shallow nets would; a plain net, whose signal has one
path, falls to chance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.analysis.layers import Block, blocks_of
from backbones.nets import Net


def removable(net: Net) -> list[str]:
    """Paths, such as `layer2.3`, of the blocks without which the shapes still fit, from the image to the classifier.

    Every residual block: its shortcut stays, also one that projects or pads at the start of a stage. Of a plain net
    those whose input and output have one shape.
    """
    return [name for name, block in blocks_of(net).items() if not block.plain or _keeps_shape(block)]


def _keeps_shape(block: Block) -> bool:
    convolutions = [m for m in block.children() if isinstance(m, nn.Conv2d)]
    return convolutions[0].in_channels == convolutions[-1].out_channels and all(
        m.stride == (1, 1) for m in convolutions
    )


@contextlib.contextmanager
def without(net: Net, *names: str) -> Iterator[None]:
    """`net` with the convolutions of the blocks `names` deleted: a residual block is relu(shortcut(x)), a plain one x.

    Modules, weights and modes stay where they are; only the way through those blocks changes, and afterwards, also
    after an error, it is the one before. Raises `ValueError` for a name that is not in `removable(net)`.
    """
    known = removable(net)
    for name in names:
        if name not in known:
            raise ValueError(f"block {name!r} is not removable; removable are {', '.join(known)}")
    blocks = [block for name, block in blocks_of(net).items() if name in names]
    before = [vars(block).get("forward") for block in blocks]  # not None inside another `without` of the same block
    try:
        for block in blocks:
            # On the object, where it hides the method of its class; a partial, which copies along with the net.
            vars(block)["forward"] = partial(_around, block)
        yield
    finally:
        for block, forward in zip(blocks, before):
            vars(block).pop("forward", None)
            if forward is not None:
                vars(block)["forward"] = forward


def _around(block: Block, x: Tensor) -> Tensor:
    """What is left of a block without its convolutions."""
    if block.plain:
        return x
    # Not in place: x is the map of the block before.
    return F.relu(x if block.downsample is None else block.downsample(x))
