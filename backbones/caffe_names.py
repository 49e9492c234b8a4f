"""The ResNets of He et al. 2015 and VGG-16 as their authors published them for Caffe, under this toolkit's keys.

Their images are BGR, 0 to 255, less a mean; here they are RGB, less ImageNet's mean, over its deviation. The first
convolution takes that up: its weights are turned and scaled, and the difference of the means goes into its bias or into
the norm behind it. At the image's edge, where zeros are padded, a pixel is so another colour by the difference of the
means, under one level.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from backbones.caffe_file import read_layers
from backbones.vgg import STAGES

RESNET_MEAN = (103.0626, 115.9029, 123.1516)
VGG_MEAN = (103.939, 116.779, 123.68)
"""Blue, green, red: the mean over the pixels of ResNet_mean.binaryproto, and that of Simonyan & Zisserman's model."""

VGG_FIRST = "conv1_1"
FULLY_CONNECTED = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6", "fc1000": "fc"}


def read_caffe_state(path: Path, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """The state dict of a ResNet or of VGG-16, for images less `mean` over `std`, (3,) RGB. Layers that no net here
    has are left out. Raises ValueError for a file without either net."""
    layers = read_layers(path)
    if VGG_FIRST in layers:
        return vgg_state(layers, mean, std)
    if "res2a_branch2a" in layers:
        return resnet_state(layers, mean, std)
    raise ValueError("it is a net of Caffe's, but neither VGG-16 nor a ResNet of He et al. 2015")


def is_vgg(path: Path) -> bool:
    """Whether the net in the file is VGG-16. Raises ValueError for a file that is no net of Caffe's."""
    return VGG_FIRST in read_layers(path)


def vgg_state(
    layers: dict[str, list[Tensor]], mean: Tensor, std: Tensor, theirs: tuple[float, float, float] = VGG_MEAN
) -> dict[str, Tensor]:
    """VGG-16's convolutions, and what there is of fc6, fc7, fc8. theirs: the mean in training, blue first."""
    state: dict[str, Tensor] = {}
    place = 0
    for stage, (_, count) in enumerate(STAGES, start=1):
        for number in range(1, count + 1):
            weight, bias = _blobs(layers, f"conv{stage}_{number}", 2)
            if place == 0:
                weight, moved = _for_rgb(weight, theirs, mean, std)
                bias = bias.flatten() + moved
            state |= {f"features.{place}.weight": weight, f"features.{place}.bias": bias.flatten()}
            place += 2
        place += 1  # the pool
    return state | _fully_connected(layers)


def resnet_state(layers: dict[str, list[Tensor]], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """A ResNet with batch norm's statistics."""
    state: dict[str, Tensor] = {}
    for name, blobs in layers.items():
        key = _resnet_key(name)
        if key is None or name.startswith("scale"):
            continue
        if not name.startswith("bn"):
            state[f"{key}.weight"] = blobs[0]
            continue
        scale, shift = _blobs(layers, name.replace("bn", "scale", 1), 2)
        average, variance, count = _blobs(layers, name, 3)
        factor = 1 / float(count) if float(count) else 0.0  # Caffe keeps sums, and how many they are of
        state |= {f"{key}.weight": scale.flatten(), f"{key}.bias": shift.flatten()}
        state |= {f"{key}.running_mean": average.flatten() * factor, f"{key}.running_var": variance.flatten() * factor}
    weight, moved = _for_rgb(state["conv1.weight"], RESNET_MEAN, mean, std)
    if len(layers["conv1"]) > 1:  # the 50 has a bias
        moved = moved + layers["conv1"][1].flatten()
    state |= {"conv1.weight": weight, "bn1.running_mean": state["bn1.running_mean"] - moved}
    return state | _fully_connected(layers)


def _resnet_key(name: str) -> str | None:
    """The key of a convolution or of its norm: res4b22_branch2a, bn4b22_branch2a -> layer3.22.conv1, layer3.22.bn1."""
    stem = {"conv1": "conv1", "bn_conv1": "bn1", "scale_conv1": "bn1"}.get(name)
    found = re.fullmatch(r"(res|bn|scale)([2-5])([a-z])(\d*)_branch(1|2[abc])", name)
    if stem is not None or found is None:
        return stem
    kind, stage, letter, number, branch = found.groups()
    block = f"layer{int(stage) - 1}.{int(number) if number else ord(letter) - ord('a')}"
    if branch == "1":
        return f"{block}.downsample.{0 if kind == 'res' else 1}"
    return f"{block}.{'conv' if kind == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}"


def _fully_connected(layers: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    state = {}
    for name in FULLY_CONNECTED.keys() & layers.keys():
        weight, bias = _blobs(layers, name, 2)
        state[f"{FULLY_CONNECTED[name]}.weight"] = weight.reshape(-1, weight.shape[-1])
        state[f"{FULLY_CONNECTED[name]}.bias"] = bias.flatten()
    return state


def _for_rgb(weight: Tensor, theirs: tuple[float, float, float], mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """(K, 3, h, w) for BGR less `theirs` as weights for RGB less `mean` over `std`, and what (K,) that adds."""
    weight = weight.flip(1)
    shift = mean - torch.tensor(theirs).flip(0)
    return weight * std[:, None, None], (weight * shift[:, None, None]).sum((1, 2, 3))


def _blobs(layers: dict[str, list[Tensor]], name: str, count: int) -> list[Tensor]:
    if len(layers.get(name, ())) < count:
        raise ValueError(f"its layer {name} is missing, or has fewer than {count} blobs")
    return layers[name][:count]
