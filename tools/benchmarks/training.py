"""A training step of ResNet-50-FPN: time turn by turn, peak memory in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from backbones.analysis.tables import markdown_table
from benchmarks.measuring import Table, alternate, in_fresh_process, resident
from benchmarks.peers import (
    as_torchvision,
    batch_of,
    pictures,
    same_in_toolkit,
    torchvision_detector,
    torchvision_step,
)
from detection.allocator import keep_freed_memory
from detection.engine.optimizer import build_optimizer
from detection.experiments.report import Report
from detection.records import Batch

SIDE, BATCH, OBJECTS = 480, 2, 12
NAMES = ("torchvision", "toolkit", "toolkit, rematerialised", "toolkit, keeps memory")


def step_of(name: str, batch: Batch) -> Callable[[], Any]:
    """A training step of the side `name`."""
    peer = torchvision_detector()
    device = batch.images.device
    if name == "torchvision":
        return torchvision_step(peer.to(device), batch)
    config = as_torchvision()
    config.rematerialise = "rematerialised" in name
    model = same_in_toolkit(peer, config).train().to(device)
    del peer
    optimizer = build_optimizer(model, 1e-4, 0.9, 0.0, 0.0, 0.0)

    def step() -> None:
        keep_freed_memory("keeps" in name)
        optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(model(batch).values())).sum()
        total.backward()
        optimizer.step()
        keep_freed_memory(False)

    return step


def peak(name: str, data: str | None) -> float:
    """MB that three steps add at their peak to a process that holds the model; for a fresh process."""
    batch = batch_of(pictures(data, BATCH, SIDE, 2 * SIDE), OBJECTS)
    step = step_of(name, batch)
    before = resident()
    for _ in range(3):
        step()
    return resident() - before


def measure(data: str | None, device: str, rounds: int, command: list[str]) -> Report:
    batch = batch_of(pictures(data, BATCH, SIDE, 2 * SIDE), OBJECTS).to(torch.device(device))
    names = NAMES if device == "cpu" else NAMES[:3]
    memory = {name: _memory(name, data, batch) for name in names}
    table = Table("torchvision")
    table.add("training step", alternate({name: step_of(name, batch) for name in names}, rounds))
    rows = [[name, f"{mb:.0f}", f"{mb / memory['torchvision']:.2f}"] for name, mb in memory.items()]
    text = f"""ResNet-50-FPN, two frozen stages and frozen norms, {BATCH} images of {SIDE} pixels with {OBJECTS} objects
each, SGD with momentum, float32; the same weights, sampling limits as torchvision has them.

{table.text()}

{markdown_table(["by", "peak memory beyond the model, MB", "of torchvision's"], rows, "lrr")}"""
    return Report("benchmark_training", "Speed of training", command, {"time": table.numbers, "mb": memory}, text, {})


def _memory(name: str, data: str | None, batch: Batch) -> float:
    if batch.images.device.type == "cpu":
        return in_fresh_process(peak, name, data)
    step = step_of(name, batch)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
