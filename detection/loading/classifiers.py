"""From a checkpoint, or a file of weights, to a classifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from backbones.caffe_file import ENDING as CAFFE
from backbones.nets import Net, NetName, make_net
from backbones.pretrained import load_pretrained, read_state
from detection import checkpoint
from detection.config.pretrain import NetConfig, PretrainConfig
from detection.config.read import from_dict
from detection.errors import InputError

LAST_LAYERS = ("linear.weight", "fc.weight", "classifier.6.weight")
"""Keys of the layer that gives a CIFAR net's, a ResNet's and a VGG's class scores."""


def build_classifier(net: NetConfig, classes: int) -> Net:
    """The net of a config, with random weights."""
    how = net.norm, net.stride_in_1x1, net.rematerialise, net.ceil_pool, net.fan_in
    return make_net(net.name, classes, net.shortcut, net.width, *how)


@dataclass(frozen=True)
class Classifier:
    """A trained classifier. name: of the net; shortcut: its option; classes: None where the file does not say; config:
    of the run that trained it, None for plain weights."""

    name: str
    net: Net
    shortcut: str
    classes: tuple[str, ...] | None
    config: PretrainConfig | None


def load_classifier(source: str, device: torch.device) -> Classifier:
    """The classifier of a `best.pt` or `last.pt`, or `NET=FILE` with plain weights, such as cifar_resnet20=a.pt.

    An option of the shortcut may follow the net: `cifar_resnet20:B=a.pt`. Raises `InputError` where it cannot be one.
    """
    named = re.fullmatch(r"(\w+)(?::(\w))?=(.+)", source)
    if named:
        return _plain_weights(named[1], named[2], Path(named[3]), device)
    path = Path(source)
    content = checkpoint.load(path, "classification")
    config = from_dict(content["config"], path, PretrainConfig)
    net = build_classifier(config.net, len(content["classes"]))
    checkpoint.load_weights(net, content["model"], path)
    net = net.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    shortcut = NetName.parse(config.net.name).shortcut(config.net.shortcut)
    return Classifier(config.net.name, net, shortcut, tuple(content["classes"]), config)


def random_classifier(name: str, classes: Sequence[str], seed: int) -> Classifier:
    """The net `name` as it begins. Raises `InputError` for one that does not exist."""
    torch.manual_seed(seed)
    try:
        return Classifier(name, make_net(name, len(classes)), NetName.parse(name).shortcut(), tuple(classes), None)
    except ValueError as error:
        raise InputError(str(error)) from error


def _plain_weights(name: str, shortcut: str | None, path: Path, device: torch.device) -> Classifier:
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights; check the path")
    try:
        state = read_state(path)
        last = next((state[key] for key in LAST_LAYERS if key in state), None)
        if last is None:
            raise InputError(
                f"{path}: has no classifier, none of {', '.join(LAST_LAYERS)}; give the weights of a whole classifier"
            )
        caffe = path.suffix == CAFFE  # whose ResNets are those of the paper
        net = make_net(name, len(last), shortcut, stride_in_1x1=caffe, ceil_pool=caffe)
        load_pretrained(net, name, str(path))
    except ValueError as error:
        raise InputError(str(error)) from error
    net = net.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Classifier(name, net, NetName.parse(name).shortcut(shortcut), None, None)
