"""Normalisation after a convolution, and the freezing of a trained one.

x (N, C, H, W) -> (N, C, H', W')
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.convolution import convolve
from backbones.modes import in_mode
from backbones.prepared import PreparedConv2d


@dataclass(frozen=True)
class _Affine:
    """scale and shift of buffers as they were; torch counts the changes of each tensor."""

    buffers: tuple[Tensor, ...]
    versions: tuple[int, ...]
    scale: Tensor
    shift: Tensor

    def is_of(self, buffers: tuple[Tensor, ...]) -> bool:
        own = zip(buffers, self.buffers, self.versions)
        return all(now is then and now._version == version for now, then, version in own)


class FrozenNorm(nn.Module):
    """Batch norm with fixed statistics and affine: a scale and a shift per channel.

    Its keys are those of `nn.BatchNorm2d`, so batch-norm weights load into it. Used through `conv_norm`, it costs no
    pass over the feature map. eps is that of torchvision and detectron2, 1e-5.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self._known: _Affine | None = None
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def affine(self) -> tuple[Tensor, Tensor]:
        """(C,) scale and (C,) shift: y = x * scale + shift. Computed again only where a buffer has changed or moved."""
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled() or self.weight.is_inference():
            return self._affine()
        buffers = (self.weight, self.bias, self.running_mean, self.running_var)
        if self._known is None or not self._known.is_of(buffers):
            self._known = _Affine(buffers, tuple(b._version for b in buffers), *self._affine())
        return self._known.scale, self._known.shift

    def _affine(self) -> tuple[Tensor, Tensor]:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.affine()
        return x * scale[:, None, None] + shift[:, None, None]

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> FrozenNorm:
        """The frozen twin of a batch norm."""
        assert norm.running_mean is not None and norm.running_var is not None, "batch norm without statistics"
        frozen = cls(norm.num_features, norm.eps)
        # Its tensors, not their values: a norm made here lies on the CPU, the other one perhaps on a GPU.
        frozen.running_mean, frozen.running_var = norm.running_mean.clone(), norm.running_var.clone()
        frozen.weight, frozen.bias = torch.ones_like(norm.running_mean), torch.zeros_like(norm.running_mean)
        if norm.affine:
            frozen.weight, frozen.bias = norm.weight.detach().clone(), norm.bias.detach().clone()
        return frozen

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        # Batch norm counts its batches; a frozen one has no use for the count.
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)  # 32 groups: Wu & He 2018, section 4


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "frozen": FrozenNorm,
    "batch": nn.BatchNorm2d,
    "sync": nn.SyncBatchNorm,
    "group": _group_norm,
}


def make_norm(name: str, channels: int) -> nn.Module:
    """The norm `name` for `channels` channels; an unknown name is a `ValueError` that lists the known ones."""
    if name not in NORMS:
        raise ValueError(f"norm {name!r} is unknown; known are {', '.join(NORMS)}")
    return NORMS[name](channels)


def conv_norm(
    x: Tensor, conv: nn.Module, norm: nn.Module | None = None, add: Tensor | None = None, relu: bool = False
) -> Tensor:
    """norm(conv(x)), plus `add`, through a ReLU where asked for; with a frozen norm folded into the weights.

    Scaling a weight of at most a few million numbers replaces a pass over a map of tens of millions; autograd goes
    through the product, so the gradient of the convolution's weight is that of the two layers in turn. Sum and ReLU
    work in place, on a map that nothing else sees.
    """
    if isinstance(conv, PreparedConv2d):
        return conv(x, add, relu)
    assert isinstance(conv, nn.Conv2d)
    if isinstance(norm, FrozenNorm):
        y = convolve(x, conv, *norm.affine())
    else:
        y = convolve(x, conv) if norm is None else norm(convolve(x, conv))
    if add is not None:
        y = y + add.to(y.dtype)  # some versions of autocast enlarge maps in float32, and the sum would stay there
    return F.relu(y, inplace=True) if relu else y


def normed_convolution(inputs: int, outputs: int, side: int, norm: str | None) -> nn.Module:
    """A convolution that keeps the size of the map: alone with a bias, or followed by a norm of `NORMS`."""
    conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=norm is None)
    return conv if norm is None else nn.Sequential(conv, make_norm(norm, outputs))


def parts_of(block: nn.Module) -> tuple[nn.Module, nn.Module | None]:
    """The convolution and the norm of what `normed_convolution` made, as `conv_norm` takes them."""
    return (block[0], block[1]) if isinstance(block, nn.Sequential) else (block, None)


def folded(conv: nn.Conv2d, norm: nn.Module | None = None) -> PreparedConv2d:
    """The convolution and the frozen or batch norm behind it, with its present statistics, as one that serves."""
    if norm is None:
        return PreparedConv2d(conv)
    if isinstance(norm, nn.modules.batchnorm._BatchNorm):
        norm = FrozenNorm.of(norm)  # type: ignore[arg-type]
    assert isinstance(norm, FrozenNorm), f"{type(norm).__name__} depends on the image"
    return PreparedConv2d(conv, *norm.affine())


def frozen(module: nn.Module) -> nn.Module:
    """`module` without training: no gradients, and batch norms replaced by frozen norms with their present values.

    Works in place and returns the module, or its replacement where it is itself a batch norm.
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return FrozenNorm.of(module)  # type: ignore[arg-type]
    for name, child in module.named_children():
        setattr(module, name, frozen(child))
    return module.requires_grad_(False)


def moving_buffers(net: nn.Module) -> list[Tensor]:
    """The buffers that training changes: running statistics. All others, such as frozen norms', stay as they are."""
    norms = (m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return [buffer for norm in norms for buffer in norm.buffers(recurse=False)]


@torch.no_grad()
def recompute_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set every batch norm's mean and variance to their averages over `batches` of normalised images.

    What He et al. 2015, section 4.3 ("compute the BN statistics on the training set") do before a detector freezes
    them: running statistics are a moving average that remembers weights of earlier steps.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the plain average
    with in_mode(net, training=True):
        for batch in batches:
            net(batch)
    for norm, momentum in zip(norms, before):
        norm.momentum = momentum
