"""The nets of the paper: depth, blocks, parameters, multiply-adds and memory (He et al. 2015, tables 1 and 6)."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from backbones.analysis.complexity import PAPER, Complexity, complexity
from backbones.nets import NetName, make_net
from detection.errors import InputError
from detection.experiments.report import Report
from detection.markdown import markdown_table

NETS = tuple(PAPER)
IMAGENET_SIZE, CIFAR_SIZE = 224, 32


def summary(nets: list[str], shortcut: str | None, stride_in_1x1: bool, size: int | None, command: list[str]) -> Report:
    """A row for each net; sizes of images are 224 pixels for ImageNet and 32 for CIFAR unless `size` says otherwise;
    plain nets have no `shortcut`."""
    found: dict[str, Complexity] = {}
    for name in nets:
        try:
            parsed = NetName.parse(name)
            with torch.device("meta"):
                option = None if parsed.plain else shortcut
                net = make_net(name, 10 if parsed.cifar else 1000, option, stride_in_1x1=stride_in_1x1)
        except ValueError as error:
            raise InputError(str(error)) from error
        found[name] = complexity(net, size or (CIFAR_SIZE if parsed.cifar else IMAGENET_SIZE))
    header = [
        "net",
        "layers",
        "blocks",
        "parameters M",
        "paper",
        "multiply-adds G",
        "paper",
        "weights MB",
        "training MB an image",
    ]
    numbers = {name: dataclasses.asdict(cost) for name, cost in found.items()}
    text = markdown_table(header, [_row(name, cost) for name, cost in found.items()], "lrlrrrrrr")
    stride = "first 1x1, as in the paper" if stride_in_1x1 else "3x3, as in torchvision"
    note = (
        f"Bottlenecks halve the map in their {stride}. Training memory is what is kept for the backward pass, float32."
    )
    return Report("summary", "The nets of the paper", command, {"nets": numbers}, f"{text}\n{note}", {})


def _row(name: str, cost: Complexity) -> list[Any]:
    paper = PAPER.get(name)
    published = (None, None) if paper is None else (paper.parameters, paper.multiply_adds)
    return [
        name,
        cost.depth,
        "-".join(str(count) for count in cost.blocks),
        f"{cost.parameters / 1e6:.2f}",
        published[0],
        f"{cost.multiply_adds / 1e9:.3g}",
        published[1],
        f"{cost.weight_bytes / 1e6:.1f}",
        f"{cost.training_bytes / 1e6:.1f}",
    ]
