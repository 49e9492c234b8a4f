"""A convolution whose filters are scaled by a frozen norm, and which takes the faster way on the CPU.

x (N, C, H, W), weight (K, C, h, w), scale and bias (K,) -> (N, K, H', W')
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import winograd

SAFE_CHANNELS = 16
"""With fewer input channels than a register holds, oneDNN's backward pass of a strided 1x1 convolution over
channels-last maps writes beyond its buffers (torch 2.14; below 8 channels without AVX-512, below 16 with it, there on
larger maps): the process aborts, or other tensors change."""


def strided_view(x: Tensor, conv: nn.Conv2d) -> tuple[Tensor, tuple[int, ...]]:
    """The map and the stride with which `conv` is computed on the CPU.

    A 1x1 convolution of stride s is exactly one of stride 1 on every s-th row and column, in its gradients too, so
    that the shapes which oneDNN gets wrong are never run.
    """
    narrow = conv.in_channels < SAFE_CHANNELS and conv.kernel_size == (1, 1) and conv.padding == (0, 0)
    if x.device.type != "cpu" or not narrow or conv.stride == (1, 1):
        return x, conv.stride
    return x[:, :, :: conv.stride[0], :: conv.stride[1]], (1, 1)


class _Convolution(torch.autograd.Function):
    """Keeps the filters as they are and scales them again in the backward pass: scaled copies of all filters would take
    as much memory as the net. Wide 3x3 filters take all three products of training by Winograd's algorithm."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        scale: Tensor | None,
        bias: Tensor | None,
        conv: nn.Conv2d,
        stride: tuple[int, ...],
    ) -> Tensor:
        ctx.save_for_backward(x, weight, scale)
        ctx.conv, ctx.stride, ctx.biased = conv, stride, bias is not None
        weight = _scaled(weight, scale)
        if not winograd.suits(conv, x):
            return F.conv2d(x, weight, bias, stride, conv.padding, conv.dilation, conv.groups)
        return winograd.convolve(x, winograd.transform_filter(weight), _zeros(weight, 0) if bias is None else bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.biased and ctx.needs_input_grad[3]]
        grad, weight = grads[0], _scaled(weight, scale)
        if winograd.suits(ctx.conv, x):
            to_x, to_weight, to_bias = _by_winograd(grad, x, weight, wanted)
        else:
            to_x, to_weight, to_bias = _directly(grad, x, weight, ctx.conv, ctx.stride, wanted)
        return to_x, None if to_weight is None else _scaled(to_weight, scale), None, to_bias, None, None


def _scaled(weight: Tensor, scale: Tensor | None) -> Tensor:
    return weight if scale is None else weight * scale[:, None, None, None]


def _zeros(weight: Tensor, axis: int) -> Tensor:
    return weight.new_zeros(weight.shape[axis])


def _by_winograd(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    to_x = None
    if wanted[0]:
        turned = winograd.transform_filter(weight.flip(2, 3).transpose(0, 1))
        to_x = winograd.convolve(grad, turned, _zeros(weight, 1))
    to_weight = winograd.filter_gradient(x, grad) if wanted[1] else None
    return to_x, to_weight, grad.sum((0, 2, 3)) if wanted[2] else None


def _directly(
    grad: Tensor, x: Tensor, weight: Tensor, conv: nn.Conv2d, stride: tuple[int, ...], wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    bias, out = [len(weight)] if wanted[2] else None, [0, 0]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, bias, stride, conv.padding, conv.dilation, False, out, conv.groups, wanted
    )


def convolve(x: Tensor, conv: nn.Conv2d, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """conv(x) * scale + shift, channel by channel; scale and shift train nothing."""
    bias = conv.bias
    if scale is not None and shift is not None:
        bias = shift if bias is None else bias * scale + shift
    x, stride = strided_view(x, conv)
    if winograd.plain(x) and x.dtype == conv.weight.dtype and (scale is not None or winograd.suits(conv, x)):
        return _Convolution.apply(x, conv.weight, scale, bias, conv, stride)
    weight = _scaled(conv.weight, scale)
    bias = None if bias is None else bias.to(weight.dtype)
    return F.conv2d(x, weight, bias, stride, conv.padding, conv.dilation, conv.groups)
