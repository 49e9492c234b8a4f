"""Feature pyramid (Lin et al. 2017, section 3).

maps in   C2..C5, (N, C_l, H_l, W_l), strides 4 8 16 32
maps out  P2..P6, (N, channels, H_l, W_l); P6 is P5 at half the size and serves the RPN only
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import conv_norm, normed_convolution, parts_of


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions, a top-down sum, and a 3x3 convolution on each level.

    Args:
        inputs: channels of each map, finest first.
        strides: of each map.
        channels: of every output map (256 in the paper).
        norm: behind each convolution; None as in the paper.
    """

    def __init__(self, inputs: list[int], strides: list[int], channels: int = 256, norm: str | None = None) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(normed_convolution(c, channels, 1, norm) for c in inputs)
        self.output = nn.ModuleList(normed_convolution(channels, channels, 3, norm) for _ in inputs)
        self.channels = channels
        self.strides = [*strides, strides[-1] * 2]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        merged: list[Tensor] = []
        for conv, x in zip(reversed(self.lateral), reversed(maps)):
            above = F.interpolate(merged[-1], size=x.shape[-2:], mode="nearest") if merged else None
            merged.append(conv_norm(x, *parts_of(conv), add=above))
        levels = [conv_norm(x, *parts_of(conv)) for conv, x in zip(self.output, reversed(merged))]
        return [*levels, levels[-1][:, :, ::2, ::2]]
