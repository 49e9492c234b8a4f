"""Classifiers by name: resnet18..152, plain18..152, preact_resnet18..200, vgg16 and vgg16_bn for ImageNet;
cifar_resnetN, cifar_plainN, cifar_preact_resnetN and cifar_preact_bottleneckN for 32x32 images."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backbones.blocks import SHORTCUTS, BlockOptions, initialise
from backbones.cifar import CifarNet, check_depth
from backbones.preact import LAYOUTS as PREACT_LAYOUTS
from backbones.preact import PreActNet, check_bottleneck_depth
from backbones.resnet import LAYOUTS, ResNet
from backbones.vgg import VGG16

Net = ResNet | CifarNet | VGG16 | PreActNet

KNOWN = (
    f"{', '.join(LAYOUTS)}, the same as plain18 ..., preact_resnet18 ... and preact_resnet200, vgg16, vgg16_bn, "
    "cifar_resnetN, cifar_plainN and cifar_preact_resnetN for any N = 6n+2, cifar_preact_bottleneckN for any N = 9n+2"
)


@dataclass(frozen=True)
class NetName:
    """What a name says. cifar: for 32x32 images; plain: without shortcuts, as VGG is too; normed: norms follow its
    convolutions; preact: norms precede them; bottleneck: the CIFAR net of bottlenecks."""

    cifar: bool
    plain: bool
    depth: int
    vgg: bool = False
    normed: bool = True
    preact: bool = False
    bottleneck: bool = False

    @classmethod
    def parse(cls, name: str) -> NetName:
        """Raises `ValueError` that says what is wrong with `name`."""
        if name in ("vgg16", "vgg16_bn"):
            return cls(False, True, 16, vgg=True, normed=name == "vgg16_bn")
        found = re.fullmatch(r"(cifar_)?(preact_)?(resnet|plain|bottleneck)(\d+)", name)
        if not found:
            raise ValueError(f"net {name!r} is unknown; known are {KNOWN}")
        cifar, preact, kind = found[1] is not None, found[2] is not None, found[3]
        parsed = cls(cifar, kind == "plain", int(found[4]), preact=preact, bottleneck=kind == "bottleneck")
        if (preact and parsed.plain) or (parsed.bottleneck and not (cifar and preact)):
            raise ValueError(f"net {name!r} is unknown; known are {KNOWN}")
        if cifar:
            try:
                (check_bottleneck_depth if parsed.bottleneck else check_depth)(parsed.depth)
            except ValueError as error:
                raise ValueError(f"net {name!r}: {error}") from error
        elif parsed.layout not in (PREACT_LAYOUTS if preact else LAYOUTS):
            raise ValueError(f"net {name!r} is unknown; known are {KNOWN}")
        return parsed

    @property
    def layout(self) -> str:
        """The key of its blocks among the layouts of ImageNet's nets."""
        return f"{'preact_' if self.preact else ''}resnet{self.depth}"

    def shortcut(self, asked: str | None = None) -> str:
        """The shortcut option: the one asked for, or the papers', A for CIFAR without bottlenecks, else B.

        Raises `ValueError` where the net has not the option.
        """
        if self.plain:
            if asked not in (None, "none"):
                net = "vgg16" if self.vgg else "a plain net"
                raise ValueError(f"shortcut {asked}: {net} has no shortcuts; name a resnet, or leave it out")
            return "none"
        options = [key for key in SHORTCUTS if key != "none"]
        if asked is not None and asked not in options:
            raise ValueError(f"shortcut {asked!r}: a residual net has {', '.join(options)}; without, it is a plain net")
        return asked or ("A" if self.cifar and not self.bottleneck else "B")


def make_net(
    name: str,
    classes: int,
    shortcut: str | None = None,
    width: int | None = None,
    norm: str = "batch",
    stride_in_1x1: bool = False,
    rematerialise: bool = False,
    ceil_pool: bool = False,
    fan_in: bool = False,
) -> Net:
    """The classifier `name` with random weights.

    shortcut: A, B or C, default the paper's; width: channels of the stem, default 16 for CIFAR and 64 for ImageNet;
    ceil_pool: pools of ResNets and VGG round up, as in Caffe; fan_in: see `initialise`, VGG always begins so. A VGG net
    has no 1x1 and does not rematerialise.
    Raises `ValueError` for an unknown name, a depth that is not of its family and a shortcut that the net has not.
    """
    parsed = NetName.parse(name)
    options = BlockOptions(norm, stride_in_1x1, parsed.shortcut(shortcut))
    net = _net(parsed, classes, options, width, rematerialise, ceil_pool)
    if fan_in and not parsed.vgg:
        initialise(net, fan_in=True)
    return net


def _net(
    parsed: NetName, classes: int, options: BlockOptions, width: int | None, rematerialise: bool, ceil_pool: bool
) -> Net:
    width = width or (16 if parsed.cifar else 64)
    if parsed.vgg:
        return VGG16(width, classes, norm=options.norm if parsed.normed else None, ceil_pool=ceil_pool)
    if parsed.preact:
        n = (parsed.depth - 2) // (9 if parsed.bottleneck else 6)
        bottleneck, counts = (parsed.bottleneck, (n, n, n)) if parsed.cifar else PREACT_LAYOUTS[parsed.layout]
        return PreActNet(bottleneck, counts, classes, parsed.cifar, width, options, rematerialise)
    if parsed.cifar:
        return CifarNet(parsed.depth, classes, width, options, rematerialise)
    return ResNet(parsed.layout, width, options, False, classes, rematerialise, ceil_pool)


def stages_of(net: Net) -> dict[str, list[str]]:
    """Stage -> the paths of its modules, from the image to the classifier."""
    if isinstance(net, VGG16):
        names = [name for name, _ in net.features.named_children()]
        stages = {f"stage {n}": [f"features.{names[i]}" for i in stage] for n, stage in enumerate(net.stages, start=1)}
        return {**stages, "classifier": ["classifier"]}
    preact = isinstance(net, PreActNet)
    stages = {"stem": ["conv1"] if preact and net.cifar else ["conv1", "bn1"]}
    stages |= {f"stage {i + 1}": [f"layer{i}"] for i in range(1, 5) if getattr(net, f"layer{i}", None) is not None}
    last = ["norm", "fc"] if preact else ["fc" if isinstance(net, ResNet) else "linear"]
    return {**stages, "classifier": last}


def for_small_images(net: Net) -> bool:
    """Whether it was made for CIFAR's images of 32x32."""
    return isinstance(net, CifarNet) or (isinstance(net, PreActNet) and net.cifar)


def within(path: str, modules: list[str]) -> bool:
    """Whether `path` is that of one of the modules or of a part of one."""
    return any(path == module or path.startswith(f"{module}.") for module in modules)
