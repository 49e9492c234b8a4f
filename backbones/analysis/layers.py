"""The weighted layers and the blocks of a net as the paper counts them."""

from __future__ import annotations

from torch import nn

from backbones.blocks import Block as PostActBlock
from backbones.nets import Net
from backbones.preact import PreActBlock

Block = PostActBlock | PreActBlock


def weighted_layers(net: Net) -> dict[str, nn.Conv2d | nn.Linear]:
    """Path -> convolution or classifier, from the image to the scores, the shortcuts' projections among them."""
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def main_path(net: Net) -> dict[str, nn.Conv2d | nn.Linear]:
    """The weighted layers without the shortcuts' projections: as many as the number in the paper's name of the net."""
    return {name: layer for name, layer in weighted_layers(net).items() if "downsample" not in name.split(".")}


def blocks_of(net: Net) -> dict[str, Block]:
    """Path, such as `layer2.3`, -> block, from the image to the classifier."""
    return {name: m for name, m in net.named_modules() if isinstance(m, Block)}
