"""The weighted layers and the blocks of a net as the paper counts them, and a loan of a net in a given mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from backbones.blocks import BasicBlock, Bottleneck, Projection
from backbones.nets import Net

Block = BasicBlock | Bottleneck


def weighted_layers(net: Net) -> dict[str, nn.Conv2d | nn.Linear]:
    """Path -> convolution or classifier, from the image to the scores, the shortcuts' projections among them."""
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def main_path(net: Net) -> dict[str, nn.Conv2d | nn.Linear]:
    """The weighted layers without the shortcuts' projections: as many as the number in the paper's name of the net."""
    beside = {m for shortcut in net.modules() if isinstance(shortcut, Projection) for m in shortcut.modules()}
    return {name: layer for name, layer in weighted_layers(net).items() if layer not in beside}


def blocks_of(net: Net) -> dict[str, Block]:
    """Path, such as `layer2.3`, -> block, from the image to the classifier."""
    return {name: m for name, m in net.named_modules() if isinstance(m, BasicBlock | Bottleneck)}


@contextlib.contextmanager
def in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """`net` in training or evaluation mode; after it every module is in the mode it was in, also after an error."""
    # Module by module: a net may be in training with some of its norms in evaluation.
    before = [(module, module.training) for module in net.modules()]
    net.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
