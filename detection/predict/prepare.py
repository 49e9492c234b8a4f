"""A trained detector made ready to serve: the same detections, up to rounding, in less time.

- every norm is folded into its convolution, and weights lie channels-last;
- on the CPU, wide 3x3 convolutions go by Winograd's algorithm (see `backbones.winograd`);
- the two-FC head reads pooled features as they lie in memory, so that none is copied into another order;
- optionally `torch.compile`, once or twice for canvases of all sizes.
"""

from __future__ import annotations

import contextlib
import copy
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import FrozenNorm, folded
from detection.errors import InputError
from detection.model.box_head import TwoFCHead
from detection.model.faster_rcnn import FasterRCNN

BUCKET = 64
"""Sides of canvases are multiples of this many pixels where the network is compiled: every map of the pyramid then has
an even or a whole side, and one compilation serves all sizes. A multiple of 128 would cost a tenth more pixels."""

NORMS = (FrozenNorm, nn.modules.batchnorm._BatchNorm)
"""Norms that a convolution can take in: those that do not depend on the image."""


PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The type of the products of matrices, by name; boxes and scores stay float32."""


def in_precision(name: str, device: torch.device) -> AbstractContextManager[None]:
    """A context in which the network computes in a type of `PRECISIONS`.

    Raises `InputError` where the device has no such products.
    """
    kind = PRECISIONS[name]
    if kind is None:
        return contextlib.nullcontext()
    if device.type == "cpu" and kind is torch.float16:
        raise InputError("--precision fp16: needs a GPU; use bf16 or fp32")
    if kind is torch.bfloat16 and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        raise InputError(f"--precision bf16: {torch.cuda.get_device_name(device)} would emulate it; use fp16 or fp32")
    return torch.autocast(device.type, dtype=kind)


def prepare(model: FasterRCNN, compiled: bool = False) -> FasterRCNN:
    """A copy of the model that serves and cannot train; `model` itself is left alone.

    compiled: the backbone, neck and RPN head through `torch.compile`. Group norms depend on the image and stay. What is
    prepared already is returned as it is.
    """
    if model.prepared:
        return model
    serving = copy.deepcopy(model).eval().requires_grad_(False)
    with torch.no_grad():
        _fold(serving)
        if isinstance(serving.roi_stage.head, TwoFCHead):
            serving.roi_stage.head = ChannelsLastHead(serving.roi_stage.head, serving.roi_stage.pooler.size)
    if compiled:
        serving.size_multiple = max(serving.size_multiple, BUCKET)
        serving.compile_trunk()
    serving.prepared = True
    return serving


def _fold(module: nn.Module) -> None:
    """Replace each convolution, with the norm that belongs to it, in place.

    A norm belongs to the convolution before it in a sequence, and else to the one named alike: bn1 to conv1.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            follower = str(int(name) + 1) if isinstance(module, nn.Sequential) else name.replace("conv", "bn")
            norm = getattr(module, follower, None) if follower != name else None
            if isinstance(norm, nn.GroupNorm):
                continue
            norm = norm if isinstance(norm, NORMS) else None
            setattr(module, name, folded(child, norm))
            if norm is not None:
                setattr(module, follower, nn.Identity())
        else:
            _fold(child)
    left = [n for n, m in module.named_children() if isinstance(m, NORMS)]
    assert not left, f"norms without a convolution: {left}"


class ChannelsLastHead(nn.Module):
    """fc6 and fc7 over pooled features (R, C, S, S) whose memory is channels-last; the weights follow that order."""

    def __init__(self, head: TwoFCHead, size: int) -> None:
        super().__init__()
        by_channel = head.fc6.weight.unflatten(1, (-1, size, size))  # (F, C, S, S)
        self.register_buffer("weight6", by_channel.permute(0, 2, 3, 1).flatten(1).contiguous())
        self.register_buffer("bias6", head.fc6.bias.clone())
        self.fc7 = head.fc7
        self.outputs = head.outputs

    weight6: Tensor
    bias6: Tensor

    def forward(self, pooled: Tensor) -> Tensor:
        flat = pooled.permute(0, 2, 3, 1).flatten(1)  # (R, S * S * C), no copy
        return F.relu(self.fc7(F.linear(flat, self.weight6, self.bias6).relu_()), inplace=True)
