"""What a net costs: layers, weights, multiply-adds and the memory of training (He et al. 2015, tables 1 and 6).

Nothing is computed on pixels: a twin of the net without storage (the meta device) runs the shapes alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from backbones.analysis.layers import blocks_of, main_path
from backbones.nets import Net, stages_of, within

FLOAT32 = 4
"""Bytes of a number."""


@dataclass(frozen=True)
class Complexity:
    """The cost of one image through a net.

    depth: weighted layers as the paper counts them: convolutions of the main path and the classifier, without the
        shortcuts' projections.
    blocks: residual or plain blocks of each stage that has any, from the image to the classifier.
    parameters: trainable or not, those of norms and projections among them.
    multiply_adds: of the convolutions and the classifier in one forward pass; norms, additions and pooling not.
    training_bytes: activations kept for the backward pass per image in float32, the image itself among them.
    weight_bytes: of the parameters in float32.
    """

    depth: int
    blocks: tuple[int, ...]
    parameters: int
    multiply_adds: int
    training_bytes: int
    weight_bytes: int


@dataclass(frozen=True)
class Published:
    """parameters: millions, and to how many decimals they are given; multiply_adds: 1e9, None where not given."""

    parameters: float | None
    decimals: int
    multiply_adds: float | None


PAPER = {
    "vgg16": Published(138, 0, 15.3),
    "plain18": Published(None, 1, 1.8),
    "plain34": Published(None, 1, 3.6),
    "resnet18": Published(11.7, 1, 1.8),
    "resnet34": Published(21.8, 1, 3.6),
    "resnet50": Published(25.6, 1, 3.8),
    "resnet101": Published(44.5, 1, 7.6),
    "resnet152": Published(60.2, 1, 11.3),
    "cifar_resnet20": Published(0.27, 2, None),
    "cifar_resnet32": Published(0.46, 2, None),
    "cifar_resnet44": Published(0.66, 2, None),
    "cifar_resnet56": Published(0.85, 2, None),
    "cifar_resnet110": Published(1.7, 1, None),
    "cifar_resnet1202": Published(19.4, 1, None),
}
"""Net -> its published size. Multiply-adds from table 1 and the introduction (224 pixels), CIFAR parameters from table
6, VGG-16's from Simonyan & Zisserman 2014, table 2; the others are not in the paper but those of its nets everywhere
since. VGG-16's multiply-adds leave out its fully connected layers, 0.12 more. The paper's bottlenecks halve the map in
their first 1x1 (`make_net(..., stride_in_1x1=True)`): 3.86, 7.57 and 11.28 there; torchvision's 3x3 costs 4.09 for the
50."""


def complexity(net: Net, size: int | tuple[int, int]) -> Complexity:
    """The cost of `net` for images of `size` (height, width), an int for a square. `net` is not touched.

    The memory is that of a net in training with the present `requires_grad` flags and rematerialisation.
    """
    size = (size, size) if isinstance(size, int) else size
    blocks, parameters = blocks_of(net), sum(p.numel() for p in net.parameters())
    stages = [sum(within(name, modules) for name in blocks) for modules in stages_of(net).values()]
    # Two images and three: batch norm refuses one whose last map is a single pixel, and the difference leaves out
    # what is kept once for a batch.
    twin = copy.deepcopy(net).to("meta", torch.float32).train()
    with FlopCounterMode(display=False) as counter:
        kept_for_two = _kept_bytes(twin, torch.empty(2, 3, *size, device="meta"))
    kept_for_three = _kept_bytes(twin, torch.empty(3, 3, *size, device="meta"))
    return Complexity(
        depth=len(main_path(net)),
        blocks=tuple(count for count in stages if count),
        parameters=parameters,
        multiply_adds=counter.get_total_flops() // 2 // 2,  # two operations each, two images
        training_bytes=kept_for_three - kept_for_two,
        weight_bytes=parameters * FLOAT32,
    )


def _kept_bytes(net: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of net(x) beside the net's own tensors. A storage kept by two layers counts once."""
    own = {StorageWeakRef(t.untyped_storage()) for t in (*net.parameters(), *net.buffers())}
    kept: dict[StorageWeakRef, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[StorageWeakRef(storage)] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        scores = net(x)  # held to the end: it keeps the graph alive, and no address is given to a second storage
    total = sum(size for storage, size in kept.items() if storage not in own)
    del scores
    return total
