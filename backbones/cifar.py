"""The nets of depth 6n+2 for 32x32 images (He et al. 2015, section 4.2), plain and residual.

image   (N, 3, H, W)                  32 x 32 in the paper
stem    (N, w, H, W)                  one 3x3 convolution, w = 16
stages  (N, w*2^i, H/2^i, W/2^i)      i = 0, 1, 2: n basic blocks each

Keys are those of the published re-implementations: conv1, bn1, layer1..3, linear.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backbones.blocks import BasicBlock, BlockOptions, conv3x3, initialise, stage
from backbones.norm import conv_norm, make_norm
from backbones.rematerialise import run_rematerialised


class CifarNet(nn.Module):
    """A net of `depth` weighted layers. Raises `ValueError` for a depth that is not 6n+2.

    Args:
        depth: 20, 32, 44, 56, 110 and 1202 in the paper.
        width: channels of the stem and the first stage.
        options: norm and shortcut of every block; the paper's is A, `none` makes the plain net.
        rematerialise: trade computation for memory in training, see `run_rematerialised`.
    """

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        width: int = 16,
        options: BlockOptions | None = None,
        rematerialise: bool = False,
    ) -> None:
        super().__init__()
        check_depth(depth)
        options = options or BlockOptions(shortcut="A")
        self.conv1 = conv3x3(3, width)
        self.bn1 = make_norm(options.norm, width)
        count = (depth - 2) // 6
        self.layer1 = stage(BasicBlock, width, width, count, 1, options)
        self.layer2 = stage(BasicBlock, width, width * 2, count, 2, options)
        self.layer3 = stage(BasicBlock, width * 2, width * 4, count, 2, options)
        self.linear = nn.Linear(width * 4, classes)
        self.rematerialise = rematerialise
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax."""
        x = conv_norm(x, self.conv1, self.bn1, relu=True)
        again = self.rematerialise and self.training and torch.is_grad_enabled()
        for blocks in (self.layer1, self.layer2, self.layer3):
            x = run_rematerialised(blocks, x) if again else blocks(x)
        return self.linear(x.mean((2, 3)))


def check_depth(depth: int) -> None:
    """Raise `ValueError` where `depth` is not 6n+2 with n of 1 or more."""
    if depth < 8 or depth % 6 != 2:
        below = max((depth - 2) // 6, 1) * 6 + 2
        near = f"{below} or {below + 6}" if depth > 8 else "8"
        raise ValueError(f"depth {depth} is not 6n+2; the nearest is {near}")
