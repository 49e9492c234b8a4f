"""Basic and bottleneck blocks with the shortcuts of He et al. 2015, section 3.3.

x (N, C, H, W) -> (N, C', H/s, W/s) for a block of stride s
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import conv_norm, make_norm

SHORTCUTS = {
    "A": "identity; subsampled and padded with zero channels where the shape changes; no parameters",
    "B": "identity; a 1x1 convolution where the shape changes",
    "C": "a 1x1 convolution everywhere",
    "none": "no shortcut: a plain net",
}


@dataclass(frozen=True)
class BlockOptions:
    """How every block of a net is made.

    norm: a key of `NORMS`. stride_in_1x1: where a bottleneck halves the map, in its first 1x1 (the paper and its Caffe
    weights) or in its 3x3 (torchvision). shortcut: a key of `SHORTCUTS`.
    """

    norm: str = "batch"
    stride_in_1x1: bool = False
    shortcut: str = "B"

    def __post_init__(self) -> None:
        if self.shortcut not in SHORTCUTS:
            raise ValueError(f"shortcut {self.shortcut!r} is unknown; known are {', '.join(SHORTCUTS)}")


def conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class ZeroPadded(nn.Module):
    """Option A where the shape changes: every stride-th pixel, and zero channels, half of them on either side."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class Projection(nn.Sequential):
    """A 1x1 convolution and its norm; the keys are torchvision's, `downsample.0` and `downsample.1`."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self
        return conv_norm(x, conv, norm)


def make_shortcut(inputs: int, outputs: int, stride: int, options: BlockOptions) -> nn.Module | None:
    """What lies beside a block's convolutions; None is the identity, or nothing in a plain net."""
    same = inputs == outputs and stride == 1
    if options.shortcut == "none" or (same and options.shortcut != "C"):
        return None
    if options.shortcut == "A":
        return ZeroPadded(inputs, outputs, stride)
    return Projection(conv1x1(inputs, outputs, stride), make_norm(options.norm, outputs))


class Block(nn.Module):
    """What is common to both kinds: the way around the convolutions, and the ReLU behind the addition."""

    relu_behind = True
    plain: bool
    downsample: nn.Module | None

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(x, self.beside(x), relu=True)

    def residual(self, x: Tensor, add: Tensor | None = None, relu: bool = False) -> Tensor:
        """The output of the convolutions alone; with `add` added and a ReLU where asked for."""
        raise NotImplementedError

    def beside(self, x: Tensor) -> Tensor | None:
        """What the shortcut adds; nothing in a plain net."""
        if self.plain:
            return None
        return x if self.downsample is None else self.downsample(x)

    def around(self, x: Tensor) -> Tensor:
        """What is left of the block without its convolutions: shortcut and ReLU; x itself in a plain net."""
        beside = self.beside(x)
        return x if beside is None else F.relu(beside)  # not in place: it may be the map of the block before


class BasicBlock(Block):
    """Two 3x3 convolutions and the shortcut around them (figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, options: BlockOptions) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, width, stride, dilation)
        self.bn1 = make_norm(options.norm, width)
        self.conv2 = conv3x3(width, width, 1, dilation)
        self.bn2 = make_norm(options.norm, width)
        self.plain = options.shortcut == "none"
        self.downsample = make_shortcut(inputs, width, stride, options)

    def residual(self, x: Tensor, add: Tensor | None = None, relu: bool = False) -> Tensor:
        y = conv_norm(x, self.conv1, self.bn1, relu=True)
        return conv_norm(y, self.conv2, self.bn2, add=add, relu=relu)


class Bottleneck(Block):
    """1x1 that narrows, 3x3, 1x1 that widens, and the shortcut around them (figure 5, right)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, options: BlockOptions) -> None:
        super().__init__()
        first, second = (stride, 1) if options.stride_in_1x1 else (1, stride)
        outputs = width * self.expansion
        self.conv1 = conv1x1(inputs, width, first)
        self.bn1 = make_norm(options.norm, width)
        self.conv2 = conv3x3(width, width, second, dilation)
        self.bn2 = make_norm(options.norm, width)
        self.conv3 = conv1x1(width, outputs)
        self.bn3 = make_norm(options.norm, outputs)
        self.plain = options.shortcut == "none"
        self.downsample = make_shortcut(inputs, outputs, stride, options)

    def residual(self, x: Tensor, add: Tensor | None = None, relu: bool = False) -> Tensor:
        y = conv_norm(x, self.conv1, self.bn1, relu=True)
        y = conv_norm(y, self.conv2, self.bn2, relu=True)
        return conv_norm(y, self.conv3, self.bn3, add=add, relu=relu)


def stage(
    block: type[BasicBlock] | type[Bottleneck],
    inputs: int,
    width: int,
    count: int,
    stride: int,
    options: BlockOptions,
    dilation: int = 1,
) -> nn.Sequential:
    """`count` blocks of `width`, the first of which takes `inputs` channels and has the stride."""
    first = block(inputs, width, stride, dilation, options)
    rest = [block(width * block.expansion, width, 1, dilation, options) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


def initialise(net: nn.Module, fan_in: bool = False) -> None:
    """Weights of all convolutions as in He et al. 2015b: normal with variance 2 / fan-out (their equation 14, as
    fb.resnet.torch) or 2 / fan-in (equation 10, as Caffe)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            mode = "fan_in" if fan_in else "fan_out"
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
