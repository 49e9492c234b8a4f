"""Standard deviations of layer responses (He et al. 2015, section 4.2 and figure 7).

The response of a 3x3 layer is its output after the norm and before what follows, be it the non-linearity or the
addition of the shortcut. Residual nets respond less than plain ones, and each layer the less the deeper the net.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from backbones.analysis.layers import main_path
from backbones.modes import in_mode
from backbones.nets import Net
from backbones.norm import FrozenNorm
from backbones.preact import PreActNet
from backbones.vgg import VGG16


@dataclass(frozen=True)
class Response:
    """layer: path of the convolution; index: 1 for the first 3x3 layer; std and mean: over images, channels and
    positions together."""

    layer: str
    index: int
    std: float
    mean: float


class _Moments:
    """Count, sum and sum of squares in float64: float32 sums of millions of values lose their last digits."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, x: Tensor) -> None:
        x = x.double()
        self.count += x.numel()
        self.total += float(x.sum())
        self.squares += float(x.square().sum())

    def mean(self) -> float:
        return self.total / self.count

    def std(self) -> float:
        # Of the population; rounding may leave a constant layer a hair below zero.
        return max(self.squares / self.count - self.mean() ** 2, 0.0) ** 0.5


def layer_responses(net: Net, batches: Iterable[Tensor]) -> list[Response]:
    """The response of every 3x3 layer of `net` in evaluation mode, from the image to the classifier.

    batches: normalised float images (B, 3, H, W), brought to the device of the net. The net's mode is restored.
    Raises `ValueError` for a net with frozen norms or without any, and where `batches` is empty.
    """
    norms = _norms_of_3x3(net)
    moments = {name: _Moments() for name in norms}
    device = next(net.parameters()).device
    with torch.no_grad(), in_mode(net, training=False), _watched(norms, moments):
        for batch in batches:
            net(batch.to(device))
    if not all(m.count for m in moments.values()):
        raise ValueError("no images: responses need at least one batch")
    return [Response(name, i, m.std(), m.mean()) for i, (name, m) in enumerate(moments.items(), start=1)]


def _norms_of_3x3(net: Net) -> dict[str, nn.Module]:
    """Path of every 3x3 convolution -> the norm that follows it, in layer order."""
    norms = {}
    for name, layer in main_path(net).items():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            norms[name] = net.get_submodule(_norm_behind(net, name))
            if isinstance(norms[name], FrozenNorm):
                raise ValueError(
                    f"{name} has a frozen norm, which is folded into it and leaves no response to see; "
                    f"load the weights into a net of norm batch"
                )
    return norms


def _norm_behind(net: Net, name: str) -> str:
    """Path of the norm that follows the convolution `name`."""
    if isinstance(net, PreActNet):
        raise ValueError("a pre-activation net has no norms behind its convolutions, where responses are seen")
    if not isinstance(net, VGG16):
        head, _, number = name.rpartition("conv")
        return f"{head}bn{number}"
    head, _, number = name.rpartition(".")
    follower = f"{head}.{int(number) + 1}"
    if isinstance(net.get_submodule(follower), nn.ReLU):
        raise ValueError(f"{name} has no norm behind it, after which its response is seen; give a vgg16_bn")
    return follower


@contextlib.contextmanager
def _watched(norms: dict[str, nn.Module], moments: dict[str, _Moments]) -> Iterator[None]:
    """While it lasts, every output of a norm goes into its moments, before the ReLU overwrites it in place."""

    with contextlib.ExitStack() as stack:
        for name, norm in norms.items():
            stack.enter_context(norm.register_forward_hook(partial(_into, moments[name])))
        yield


def _into(sums: _Moments, _norm: nn.Module, _inputs: object, output: Tensor) -> None:
    sums.add(output)
