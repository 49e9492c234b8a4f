"""An image through the detector: by torchvision, by mayaku where it is installed, and by every way of this toolkit."""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision import ops

from backbones import winograd
from backbones.norm import FrozenNorm
from benchmarks.measuring import Table, alternate, in_fresh_process
from benchmarks.peers import batch_of, mayaku_detector, pictures, same_in_toolkit, torchvision_detector
from detection.allocator import keep_freed_memory
from detection.config.schema import ModelConfig, RPNConfig
from detection.errors import InputError
from detection.experiments.report import Report
from detection.export.graph import HeadGraph, TrunkGraph, with_graphs
from detection.export.openvino import PRECISIONS, SUFFIX, read_graph, write_graph
from detection.geometry.boxes import iou
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.model.roi_pool import RoIPooler
from detection.predict.prepare import prepare
from detection.records import Batch

PEER, PREPARED, WORK = "torchvision", "toolkit, prepared", "ResNet-50-FPN"
CALIBRATION = 4


def measure(data: str | None, device: str, rounds: int, command: list[str]) -> Report:
    plain = in_fresh_process(against_torchvision, data, device, rounds, False)
    kept = in_fresh_process(against_torchvision, data, device, rounds, True) if device == "cpu" else None
    text = f"""ResNet-50-FPN, one image as it enters the network at 800 pixels, 80 classes, the same weights throughout,
random but for the scale of signals; `same` counts detections of torchvision that the other side has too, of one class
and with an IoU of .9. Every side as Python runs it:

{plain.text()}"""
    numbers = {"against_torchvision": plain.numbers}
    if kept is not None:
        numbers["keeping_memory"] = kept.numbers
        first, second = (table.numbers[WORK]["seconds"] for table in (plain, kept))
        across = statistics.median(first[PEER]) / statistics.median(second[PREPARED])
        numbers["across"] = {"ratio": across}
        text += f"""

Every side with `detection.allocator.keep_freed_memory`, which the command line switches on, in a process of its own:

{kept.text()}

The toolkit as its command line runs it, prepared and keeping memory, against torchvision as Python runs it, one median
over the other: {across:.2f} times as fast."""
    second_table = in_fresh_process(against_unprepared, data, device, rounds)
    numbers["against_unprepared"] = second_table.numbers
    text += f"""

The nets of the ResNet paper at 600 pixels and 300 proposals, against the same nets as usual code has them: convolution,
frozen norm and ReLU one after the other, torchvision's pooling.

{second_table.text()}"""
    return Report("benchmark_inference", "Speed of inference", command, numbers, text, {})


@torch.inference_mode()
def against_torchvision(data: str | None, device: str, rounds: int, keep: bool) -> Table:
    """The sides in turn; with `keep` all of them keep freed memory. For a fresh process, whose memory is as it was."""
    if keep:
        keep_freed_memory()
    images = pictures(data, CALIBRATION, 800, 1333)
    peer = torchvision_detector()
    model = same_in_toolkit(peer).eval().to(device)
    peer = peer.eval().to(device)
    batch = batch_of(images[:1]).to(torch.device(device))
    image = batch.images[0].float() / 255
    serving = prepare(model)
    sides: dict[str, Callable[[], Any]] = {PEER: partial(peer, [image])}
    other = mayaku_detector(model)
    if other is not None:
        sides["mayaku"] = partial(other.to(device), [{"image": batch.images[0].float()}])
    sides |= {"toolkit": partial(model, batch), PREPARED: partial(serving, batch)}
    if device == "cpu":
        for precision in PRECISIONS:
            graphs = exported(serving, batch, images, precision)
            if graphs is not None:
                sides[f"openvino {precision}"] = partial(graphs, batch)
    else:
        sides["toolkit, compiled"] = partial(prepare(model, compiled=True), batch)
        for kind in (torch.bfloat16, torch.float16):
            sides[f"torchvision, {kind}"] = partial(_autocast, peer, [image], kind, device)
            sides[f"toolkit, prepared, {kind}"] = partial(_autocast, serving, batch, kind, device)
    notes = {}
    expected = peer([image])[0]
    for name, run in sides.items():
        if not name.startswith(("torchvision", "mayaku")):
            notes[name] = _same(expected, run()[0]) if "int8" not in name else "accuracy: docs/speed.md"
    table = Table(PEER)
    table.add(WORK, alternate(sides, rounds), notes)
    return table


def _same(expected: dict[str, torch.Tensor], found: Any) -> str:
    boxes, labels = expected["boxes"].float(), expected["labels"] - 1
    overlap = iou(boxes, found.boxes.to(boxes.device)) * (labels[:, None] == found.labels[None].to(boxes.device))
    same = int((overlap.amax(1) >= 0.9).sum()) if len(found.boxes) and len(boxes) else 0
    return f"{same} of {len(boxes)} the same"


def _autocast(model: nn.Module, batch: Any, kind: torch.dtype, device: str) -> Any:
    with torch.autocast(device, dtype=kind):
        return model(batch)


def exported(serving: FasterRCNN, batch: Batch, images: list[torch.Tensor], precision: str) -> FasterRCNN | None:
    """The prepared detector with its graphs in OpenVINO; None where that is not installed."""
    items = [batch_of([image]) for image in images]

    def pixels() -> Iterator[np.ndarray]:
        return (serving.normalise(item).contiguous().numpy() for item in items if precision == "int8")

    def features() -> Iterator[np.ndarray]:
        return (_pooled(serving, item) for item in items if precision == "int8")

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}{SUFFIX}" for name in ("trunk", "head")]
        try:
            write_graph(TrunkGraph(serving), serving.normalise(batch).contiguous(), paths[0], pixels)
            write_graph(HeadGraph(serving), torch.from_numpy(_pooled(serving, batch)), paths[1], features)
            trunk, head = (read_graph(path, precision) for path in paths)
        except InputError as error:
            print(error)
            return None
    return with_graphs(serving, trunk, head)


def _pooled(serving: FasterRCNN, batch: Batch) -> np.ndarray:
    maps = serving.maps(batch)
    boxes = serving.propose(serving.rpn(maps), batch, serving.test_limits)[0].boxes[:64]
    pooled = serving.roi_stage.pooler(serving.region_maps(maps), [boxes])
    return np.ascontiguousarray(pooled.permute(0, 2, 3, 1).numpy())


@torch.inference_mode()
def against_unprepared(data: str | None, device: str, rounds: int) -> Table:
    """For a fresh process."""
    images = pictures(data, 1, 600, 1000)
    table = Table("usual code")
    nets = {
        "ResNet-101-C4": ModelConfig("c4", "resnet101", None, "frozen", stride_in_1x1=True),
        "VGG-16": ModelConfig("vgg16", "vgg16", None),
    }
    for name, config in nets.items():
        config.rpn = RPNConfig(test_after_nms=300)  # Faster R-CNN, section 3.3
        torch.manual_seed(0)
        model = build_model(config, 80).eval().to(device)
        _calm(model)
        batch = batch_of(images).to(torch.device(device))
        sides: dict[str, Callable[[], Any]] = {"usual code": partial(_directly, _usual(model), batch)}
        sides["prepared"] = partial(prepare(model), batch)
        table.add(name, alternate(sides, rounds))
    return table


def _calm(model: FasterRCNN) -> None:
    """Keep the signal of random weights from blowing up along the residual stages."""
    for name, buffer in model.named_buffers():
        if name.endswith("bn3.weight"):
            buffer.fill_(0.3)


class _Unfolded(nn.Module):
    """A frozen norm as a layer of its own, as torchvision and detectron2 run it."""

    def __init__(self, norm: FrozenNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class _Pooler(nn.Module):
    """torchvision's operators on one map."""

    def __init__(self, ours: RoIPooler) -> None:
        super().__init__()
        self.kind, self.size, self.scale = ours.kind, ours.size, 1 / ours.strides[0]

    def forward(self, maps: list[torch.Tensor], boxes: list[torch.Tensor]) -> torch.Tensor:
        if self.kind == "pool":
            return ops.roi_pool(maps[0], boxes, self.size, self.scale)
        return ops.roi_align(maps[0], boxes, self.size, self.scale, aligned=True)


def _usual(model: FasterRCNN) -> FasterRCNN:
    """The same net with nothing prepared: unfolded norms, torchvision's pooling."""
    usual = copy.deepcopy(model)
    _unfold(usual)
    usual.roi_stage.pooler = _Pooler(usual.roi_stage.pooler)  # type: ignore[assignment]
    return usual


def _directly(model: nn.Module, batch: Batch) -> Any:
    """Without Winograd's algorithm."""
    before, winograd.CHANNELS = winograd.CHANNELS, 2**31
    try:
        return model(batch)
    finally:
        winograd.CHANNELS = before


def _unfold(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, FrozenNorm):
            setattr(module, name, _Unfolded(child))
        else:
            _unfold(child)
