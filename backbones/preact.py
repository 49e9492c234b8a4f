"""Pre-activation residual nets (He et al. 2016, *Identity Mappings in Deep Residual Networks*): norm and ReLU come
before each convolution, and nothing follows the addition, so that a stage carries its input to its end unchanged.

image   (N, 3, H, W)
stem    ImageNet: (N, w, H/4, W/4), w = 64; CIFAR: (N, w, H, W), w = 16
stages  (N, w*e*2^i, ...) for stage i from 0, e = 1 (basic) or 4 (bottleneck); the first keeps the stem's size and each
        other halves it; a norm and a ReLU follow the last

Layouts are those of the authors' code (KaimingHe/resnet-1k-layers) and of fb.resnet.torch, which it builds on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.blocks import BlockOptions, Bottleneck, ZeroPadded, conv1x1, conv3x3, initialise
from backbones.convolution import convolve
from backbones.norm import conv_norm, make_norm
from backbones.rematerialise import run_rematerialised
from backbones.resnet import LAYOUTS as RESNETS

LAYOUTS: dict[str, tuple[bool, tuple[int, ...]]] = {
    **{f"preact_{name}": (block is Bottleneck, counts) for name, (block, counts) in RESNETS.items()},
    "preact_resnet200": (True, (3, 24, 36, 3)),
}
"""Whether blocks are bottlenecks, and how many each stage has: as the nets of 2015, and the 200 of the 2016 paper."""


class PreActBlock(nn.Module):
    """x + F(x), where F begins with a norm and a ReLU.

    leading: the first block of a stage. Its shortcut starts behind the first ReLU, as the convolutions do: the authors
        activate what a projection reads, and the stem's output, once for both ways.
    activated: x went through norm and ReLU already; the block has no first norm.
    """

    relu_behind = False
    plain = False

    def __init__(self, inputs: int, outputs: int, stride: int, options: BlockOptions, leading: bool, activated: bool):
        super().__init__()
        self.bn1 = None if activated else make_norm(options.norm, inputs)
        self.leading = leading
        self.downsample = _make_shortcut(inputs, outputs, stride, options)

    def forward(self, x: Tensor) -> Tensor:
        active = self._activated(x)
        return self._convolutions(active) + self._shortcut(active if self.leading else x)

    def residual(self, x: Tensor) -> Tensor:
        """The output of the convolutions alone."""
        return self._convolutions(self._activated(x))

    def beside(self, x: Tensor) -> Tensor:
        """What the shortcut adds."""
        return self._shortcut(self._activated(x) if self.leading else x)

    around = beside
    """What is left of the block without its convolutions."""

    def _activated(self, x: Tensor) -> Tensor:
        return x if self.bn1 is None else F.relu(self.bn1(x), inplace=True)

    def _shortcut(self, start: Tensor) -> Tensor:
        if isinstance(self.downsample, nn.Conv2d):
            return convolve(start, self.downsample)
        return start if self.downsample is None else self.downsample(start)

    def _convolutions(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class PreActBasic(PreActBlock):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, options: BlockOptions, leading: bool, activated: bool):
        super().__init__(inputs, width, stride, options, leading, activated)
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn2 = make_norm(options.norm, width)
        self.conv2 = conv3x3(width, width)

    def _convolutions(self, x: Tensor) -> Tensor:
        return convolve(conv_norm(x, self.conv1, self.bn2, relu=True), self.conv2)


class PreActBottleneck(PreActBlock):
    """1x1 that narrows, 3x3, 1x1 that widens."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, options: BlockOptions, leading: bool, activated: bool):
        super().__init__(inputs, width * 4, stride, options, leading, activated)
        first, second = (stride, 1) if options.stride_in_1x1 else (1, stride)
        self.conv1 = conv1x1(inputs, width, first)
        self.bn2 = make_norm(options.norm, width)
        self.conv2 = conv3x3(width, width, second)
        self.bn3 = make_norm(options.norm, width)
        self.conv3 = conv1x1(width, width * 4)

    def _convolutions(self, x: Tensor) -> Tensor:
        y = conv_norm(x, self.conv1, self.bn2, relu=True)
        return convolve(conv_norm(y, self.conv2, self.bn3, relu=True), self.conv3)


def _make_shortcut(inputs: int, outputs: int, stride: int, options: BlockOptions) -> nn.Module | None:
    """As `make_shortcut` of the nets of 2015, but no norm follows a projection."""
    same = inputs == outputs and stride == 1
    if same and options.shortcut != "C":
        return None
    return ZeroPadded(inputs, outputs, stride) if options.shortcut == "A" else conv1x1(inputs, outputs, stride)


class PreActNet(nn.Module):
    """A pre-activation net.

    Args:
        bottleneck: kind of the blocks.
        counts: blocks of each stage: four for ImageNet, three for CIFAR.
        cifar: one 3x3 convolution is the stem, and the first block activates it; else 7x7, norm, ReLU and pooling.
        width: channels of the stem and of the first stage's 3x3 convolutions.
        options: norm, stride placement and shortcut of every block; `none` is no shortcut of these nets.
        rematerialise: trade computation for memory in training, see `run_rematerialised`.
    """

    def __init__(
        self,
        bottleneck: bool,
        counts: tuple[int, ...],
        classes: int,
        cifar: bool,
        width: int,
        options: BlockOptions,
        rematerialise: bool = False,
    ) -> None:
        super().__init__()
        block = PreActBottleneck if bottleneck else PreActBasic
        self.cifar = cifar
        self.conv1 = conv3x3(3, width) if cifar else nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        if not cifar:
            self.bn1 = make_norm(options.norm, width)
        inputs = width
        for i, count in enumerate(counts):
            wide, stride = width << i, 1 if i == 0 else 2
            blocks = [block(inputs, wide, stride, options, True, i == 0 and not cifar)]
            inputs = wide * block.expansion
            blocks += [block(inputs, wide, 1, options, False, False) for _ in range(count - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.norm = make_norm(options.norm, inputs)
        self.fc = nn.Linear(inputs, classes)
        self.stages = len(counts)
        self.rematerialise = rematerialise
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        if self.cifar:
            return convolve(x, self.conv1)
        return F.max_pool2d(conv_norm(x, self.conv1, self.bn1, relu=True), 3, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax."""
        x = self.stem(x)
        again = self.rematerialise and self.training and torch.is_grad_enabled()
        for i in range(self.stages):
            blocks = getattr(self, f"layer{i + 1}")
            x = run_rematerialised(blocks, x) if again else blocks(x)
        return self.fc(F.relu(self.norm(x)).mean((2, 3)))


def check_bottleneck_depth(depth: int) -> None:
    """Raise `ValueError` where `depth` is not 9n+2 with n of 1 or more: three stages of n bottlenecks."""
    if depth < 11 or depth % 9 != 2:
        below = max((depth - 2) // 9, 1) * 9 + 2
        near = f"{below} or {below + 9}" if depth > 11 else "11"
        raise ValueError(f"depth {depth} is not 9n+2; the nearest is {near}")
