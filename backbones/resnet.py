"""ResNet-18/34/50/101/152 (He et al. 2015, table 1), with the keys of torchvision's state dicts, and the plain nets.

image   (N, 3, H, W)
stem    (N, w, H/4, W/4)            w = width, 64 in the paper
C2..C5  (N, w*e*2^(s-2), H/2^s, W/2^s) for stage s, e = 1 (basic) or 4 (bottleneck); a dilated C5 has stride 16
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.blocks import BasicBlock, BlockOptions, Bottleneck, initialise, stage
from backbones.norm import conv_norm, frozen, make_norm
from backbones.rematerialise import run_rematerialised

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
        options: norm, stride placement and shortcut of every block; shortcut `none` makes the plain net.
        dilate_stage5: stage 5 keeps stride 16 and dilates its 3x3 convolutions by 2 (detectron2's DC5).
        classes: outputs of the classifier; None leaves it out.
        rematerialise: trade computation for memory in training, see `run_rematerialised`.
        ceil_pool: the stem's pool has no padding and rounds the size of its map up, as in Caffe.
    """

    def __init__(
        self,
        name: str,
        width: int = 64,
        options: BlockOptions | None = None,
        dilate_stage5: bool = False,
        classes: int | None = None,
        rematerialise: bool = False,
        ceil_pool: bool = False,
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
            stages.append(stage(block, inputs, width << i, count, stride, options, dilation))
            inputs = (width << i) * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = [(width << i) * block.expansion for i in range(4)]
        self.strides = [4, 8, 16, 16 if dilate_stage5 else 32]
        self.fc = nn.Linear(inputs, classes) if classes is not None else None
        self.rematerialise = rematerialise
        self.ceil_pool = ceil_pool
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        x = conv_norm(x, self.conv1, self.bn1, relu=True)
        return F.max_pool2d(x, 3, 2, ceil_mode=True) if self.ceil_pool else F.max_pool2d(x, 3, 2, padding=1)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """The outputs of the stages it has: C2..C5, or C2..C4 after `take_stage5`."""
        x, maps = self.stem(x), []
        for blocks in (self.layer1, self.layer2, self.layer3, self.layer4):
            if blocks is not None:
                again = self.rematerialise and self.training and torch.is_grad_enabled()
                x = run_rematerialised(blocks, x) if again else blocks(x)
                maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax."""
        assert self.fc is not None, "this net was made without a classifier"
        return self.fc(self.feature_maps(x)[-1].mean((2, 3)))

    def freeze_stages(self, last: int) -> None:
        """Freeze stages 1 (the stem) to `last` (5: everything); 0 freezes nothing."""
        stages = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
        for name in (name for names in stages[:last] for name in names):
            setattr(self, name, frozen(getattr(self, name)))

    def take_stage5(self) -> nn.Sequential:
        """Hand stage 5 over to a head that runs it once per region (the paper's conv5_x, appendix A)."""
        stage5, self.layer4 = self.layer4, None  # type: ignore[assignment]
        self.channels, self.strides = self.channels[:3], self.strides[:3]
        return stage5
