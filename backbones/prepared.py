"""A convolution made ready to serve: its norm folded in, its weights laid out, its faster algorithm chosen.

x (N, C, H, W) -> (N, K, H', W'), channels-last
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import winograd


class PreparedConv2d(nn.Module):
    """`conv` with the affine map of a norm folded into it. Serves only: it has buffers, no parameters.

    scale, shift: (K,) of the norm that follows; None for none.
    """

    weight: Tensor
    bias: Tensor
    planes: Tensor | None

    def __init__(self, conv: nn.Conv2d, scale: Tensor | None = None, shift: Tensor | None = None) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str), "padding by name is not used here"
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation
        weight = conv.weight.detach()
        bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
        if scale is not None and shift is not None:
            weight, bias = weight * scale[:, None, None, None], bias * scale + shift
        self.register_buffer("weight", weight.clone(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.clone())
        self.groups = conv.groups
        self.register_buffer("planes", winograd.transform_filter(weight) if winograd.suits(conv, weight) else None)

    def forward(self, x: Tensor, add: Tensor | None = None, relu: bool = False) -> Tensor:
        """The convolution, then the sum with `add`, then the ReLU, as far as they are asked for."""
        if self.planes is not None and winograd.plain(x):
            return winograd.convolve(x, self.planes, self.bias, add, relu)
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        if add is not None:
            y += add
        return y.relu_() if relu else y
