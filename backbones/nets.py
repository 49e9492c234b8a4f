"""Classifiers by name: resnet18..152 and plain18..152 for ImageNet, cifar_resnetN and cifar_plainN for 32x32 images."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backbones.blocks import SHORTCUTS, BlockOptions
from backbones.cifar import CifarNet, check_depth
from backbones.resnet import LAYOUTS, ResNet

Net = ResNet | CifarNet

KNOWN = f"{', '.join(LAYOUTS)}, the same as plain18 ..., cifar_resnetN and cifar_plainN for any N = 6n+2"


@dataclass(frozen=True)
class NetName:
    """What a name says. cifar: for 32x32 images; plain: without shortcuts."""

    cifar: bool
    plain: bool
    depth: int

    @classmethod
    def parse(cls, name: str) -> NetName:
        """Raises `ValueError` that says what is wrong with `name`."""
        found = re.fullmatch(r"(cifar_)?(resnet|plain)(\d+)", name)
        if not found:
            raise ValueError(f"net {name!r} is unknown; known are {KNOWN}")
        parsed = cls(found[1] is not None, found[2] == "plain", int(found[3]))
        if parsed.cifar:
            try:
                check_depth(parsed.depth)
            except ValueError as error:
                raise ValueError(f"net {name!r}: {error}") from error
        elif f"resnet{parsed.depth}" not in LAYOUTS:
            raise ValueError(f"net {name!r} is unknown; known are {KNOWN}")
        return parsed

    def shortcut(self, asked: str | None = None) -> str:
        """The shortcut option: the one asked for, or the paper's, A for CIFAR and B for ImageNet.

        Raises `ValueError` where the net has not the option.
        """
        if self.plain:
            if asked not in (None, "none"):
                raise ValueError(f"shortcut {asked}: a plain net has no shortcuts; name a resnet, or leave it out")
            return "none"
        options = [key for key in SHORTCUTS if key != "none"]
        if asked is not None and asked not in options:
            raise ValueError(f"shortcut {asked!r}: a residual net has {', '.join(options)}; without, it is a plain net")
        return asked or ("A" if self.cifar else "B")


def make_net(
    name: str,
    classes: int,
    shortcut: str | None = None,
    width: int | None = None,
    norm: str = "batch",
    stride_in_1x1: bool = False,
    rematerialise: bool = False,
) -> Net:
    """The classifier `name` with random weights.

    shortcut: A, B or C, default the paper's; width: channels of the stem, default 16 for CIFAR and 64 for ImageNet.
    Raises `ValueError` for an unknown name, a depth that is not 6n+2 and a shortcut that the net has not.
    """
    parsed = NetName.parse(name)
    options = BlockOptions(norm, stride_in_1x1, parsed.shortcut(shortcut))
    if parsed.cifar:
        return CifarNet(parsed.depth, classes, width or 16, options, rematerialise)
    layout = f"resnet{parsed.depth}"
    return ResNet(layout, width or 64, options, classes=classes, rematerialise=rematerialise)


def stages_of(net: Net) -> dict[str, list[str]]:
    """Stage -> the names of its child modules, from the image to the classifier."""
    stages = {"stem": ["conv1", "bn1"]}
    stages |= {f"stage {i + 1}": [f"layer{i}"] for i in range(1, 5) if getattr(net, f"layer{i}", None) is not None}
    return {**stages, "classifier": ["fc" if isinstance(net, ResNet) else "linear"]}
