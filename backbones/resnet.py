"""ResNet-18/34/50/101/152 (He et al. 2015, table 1), with the keys of torchvision's state dicts.

image   (N, 3, H, W)
stem    (N, w, H/4, W/4)            w = width, 64 in the paper
C2..C5  (N, w*e*2^(s-2), H/2^s, W/2^s) for stage s, e = 1 (basic) or 4 (bottleneck); a dilated C5 has stride 16
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import conv_norm, frozen, make_norm


@dataclass(frozen=True)
class BlockOptions:
    """How every block of a net is made. norm: a key of `NORMS`; stride_in_1x1: where a bottleneck halves the map, in
    its first 1x1 (the paper and its Caffe weights) or in its 3x3 (torchvision)."""

    norm: str = "batch"
    stride_in_1x1: bool = False


def conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


def projection(inputs: int, outputs: int, stride: int, norm: str) -> nn.Sequential | None:
    """Shortcut option B: a 1x1 convolution where the shape changes, the identity elsewhere."""
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(conv1x1(inputs, outputs, stride), make_norm(norm, outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut around them (figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, options: BlockOptions) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, width, stride, dilation)
        self.bn1 = make_norm(options.norm, width)
        self.conv2 = conv3x3(width, width, 1, dilation)
        self.bn2 = make_norm(options.norm, width)
        self.downsample = projection(inputs, width, stride, options.norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True)
        y = conv_norm(y, self.conv2, self.bn2)
        return F.relu(y + shortcut(x, self.downsample), inplace=True)


class Bottleneck(nn.Module):
    """1x1 that narrows, 3x3, 1x1 that widens, and the shortcut around them (figure 5, right)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, options: BlockOptions) -> None:
        super().__init__()
        first, second = (stride, 1) if options.stride_in_1x1 else (1, stride)
        self.conv1 = conv1x1(inputs, width, first)
        self.bn1 = make_norm(options.norm, width)
        self.conv2 = conv3x3(width, width, second, dilation)
        self.bn2 = make_norm(options.norm, width)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.bn3 = make_norm(options.norm, width * self.expansion)
        self.downsample = projection(inputs, width * self.expansion, stride, options.norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True)
        y = F.relu(conv_norm(y, self.conv2, self.bn2), inplace=True)
        y = conv_norm(y, self.conv3, self.bn3)
        return F.relu(y + shortcut(x, self.downsample), inplace=True)


def shortcut(x: Tensor, downsample: nn.Sequential | None) -> Tensor:
    if downsample is None:
        return x
    conv, norm = downsample
    assert isinstance(conv, nn.Conv2d)
    return conv_norm(x, conv, norm)


LAYOUTS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """A residual net for 224-pixel images, and the body of a detector.

    Args:
        name: a key of `LAYOUTS`.
        width: channels of the stem and of the first stage's 3x3 convolutions.
        options: norm and stride placement of every block.
        dilate_stage5: stage 5 keeps stride 16 and dilates its 3x3 convolutions by 2 (detectron2's DC5).
        classes: outputs of the classifier; None leaves it out.
    """

    def __init__(
        self,
        name: str,
        width: int = 64,
        options: BlockOptions | None = None,
        dilate_stage5: bool = False,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        if name not in LAYOUTS:
            raise ValueError(f"backbone {name!r} is unknown; known are {', '.join(LAYOUTS)}")
        block, counts = LAYOUTS[name]
        options = options or BlockOptions()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = make_norm(options.norm, width)
        stages, inputs = [], width
        for i, count in enumerate(counts):
            dilation = 2 if dilate_stage5 and i == 3 else 1
            stride = 1 if i == 0 or dilation == 2 else 2
            outputs = (width << i) * block.expansion
            first = block(inputs, width << i, stride, dilation, options)
            rest = [block(outputs, width << i, 1, dilation, options) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = [(width << i) * block.expansion for i in range(4)]
        self.strides = [4, 8, 16, 16 if dilate_stage5 else 32]
        self.fc = nn.Linear(inputs, classes) if classes is not None else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # He et al. 2015b

    def stem(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True), 3, 2, padding=1)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """The outputs of the stages it has: C2..C5, or C2..C4 after `take_stage5`."""
        x, maps = self.stem(x), []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            if stage is not None:
                x = stage(x)
                maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax."""
        assert self.fc is not None, "this net was made without a classifier"
        return self.fc(self.feature_maps(x)[-1].mean((2, 3)))

    def freeze_stages(self, last: int) -> None:
        """Freeze stages 1 (the stem) to `last` (5: everything); 0 freezes nothing."""
        stages = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
        for name in (name for stage in stages[:last] for name in stage):
            setattr(self, name, frozen(getattr(self, name)))

    def take_stage5(self) -> nn.Sequential:
        """Hand stage 5 over to a head that runs it once per region (the paper's conv5_x, appendix A)."""
        stage, self.layer4 = self.layer4, None  # type: ignore[assignment]
        self.channels, self.strides = self.channels[:3], self.strides[:3]
        return stage
