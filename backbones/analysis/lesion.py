"""Deleting and reordering blocks of a trained net (Veit, Wilber & Belongie 2016, section 4).

A residual net loses little without one block, as an ensemble of shallow nets would; a plain net, whose signal has one
path, falls to chance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MethodType

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
    """`net` with the convolutions of the blocks `names` deleted: a residual block is relu(shortcut(x)), one of a
    pre-activation net shortcut(x), a plain one x.

    Modules, weights and modes stay where they are; only the way through those blocks changes, and afterwards, also
    after an error, it is the one before. Raises `ValueError` for a name that is not in `removable(net)`.
    """
    known = removable(net)
    for name in names:
        if name not in known:
            raise ValueError(f"block {name!r} is not removable; removable are {', '.join(known)}")
    with computing({block: block.around for name, block in blocks_of(net).items() if name in names}):
        yield


def interchangeable(net: Net) -> list[list[str]]:
    """Paths of the blocks that can stand in each other's places, a list a stage: all but the first, which changes the
    shape or, of a plain net and of bottlenecks, takes another one. Stages with fewer than two such blocks are left out.
    """
    stages: dict[str, list[str]] = {}
    for name, block in blocks_of(net).items():
        if _keeps_shape(block):
            stages.setdefault(name.split(".")[0], []).append(name)
    return [names for names in stages.values() if len(names) > 1]


@contextlib.contextmanager
def reordered(net: Net, order: Mapping[str, str]) -> Iterator[None]:
    """`net` where at the place of each key of `order` the block of its value computes (Veit et al. 2016, section 4.3).

    Raises `ValueError` unless the values are the keys in another order, each within its list of `interchangeable(net)`.
    """
    stage_of = {name: k for k, names in enumerate(interchangeable(net)) for name in names}
    if sorted(order) != sorted(order.values()) or any(
        name not in stage_of or stage_of[name] != stage_of.get(other) for name, other in order.items()
    ):
        raise ValueError("a block can only take the place of another of its stage that keeps the shape")
    blocks = blocks_of(net)
    with computing({blocks[at]: MethodType(type(blocks[who]).forward, blocks[who]) for at, who in order.items()}):
        yield


@contextlib.contextmanager
def computing(forwards: Mapping[Block, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Each block computes what its function does, and afterwards, also after an error, what it did before."""
    before = {block: vars(block).get("forward") for block in forwards}  # not None inside another of the same block
    try:
        for block, forward in forwards.items():
            # On the object, where it hides the method of its class; a partial, which copies along with the net.
            vars(block)["forward"] = forward
        yield
    finally:
        for block, own in before.items():
            vars(block).pop("forward", None)
            if own is not None:
                vars(block)["forward"] = own
