"""A training step of ResNet-50-FPN: time turn by turn, peak memory in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

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
from detection.markdown import markdown_table
from detection.records import Batch

SIDE, BATCH, OBJECTS = 480, 2, 12
NAMES = ("torchvision", "toolkit", "toolkit, rematerialised")


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
        optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(model(batch).values())).sum()
        total.backward()
        optimizer.step()

    return step


def peak(name: str, data: str | None, keep: bool) -> float:
    """MB that three steps add at their peak to a process that holds the model; for a fresh process."""
    if keep:
        keep_freed_memory()
    batch = batch_of(pictures(data, BATCH, SIDE, 2 * SIDE), OBJECTS)
    step = step_of(name, batch)
    before = resident()
    for _ in range(3):
        step()
    return resident() - before


def side_by_side(data: str | None, device: str, rounds: int, keep: bool) -> Table:
    """Steps in turn; with `keep` all sides keep freed memory. For a fresh process, whose memory is as it was."""
    if keep:
        keep_freed_memory()
    batch = batch_of(pictures(data, BATCH, SIDE, 2 * SIDE), OBJECTS).to(torch.device(device))
    table = Table(NAMES[0])
    work = "training step" + (", keeping memory" if keep else "")
    table.add(work, alternate({name: step_of(name, batch) for name in NAMES}, rounds))
    return table


def measure(data: str | None, device: str, rounds: int, command: list[str]) -> Report:
    ways = (False, True) if device == "cpu" else (False,)
    rows, memory, tables = [], {}, []
    for keep in ways:
        tables.append(in_fresh_process(side_by_side, data, device, rounds, keep))
        for name in NAMES:
            label = name + (", keeping memory" if keep else "")
            memory[label] = _memory(name, data, device, keep)
            rows.append([label, f"{memory[label]:.0f}", f"{memory[label] / memory[NAMES[0]]:.2f}"])
    text = f"""ResNet-50-FPN, two frozen stages and frozen norms, {BATCH} images of {SIDE} pixels with {OBJECTS} objects
each, SGD with momentum, float32; the same weights, sampling limits as torchvision has them. Keeping memory: with
`detection.allocator.keep_freed_memory`, which the command line switches on.

{"".join(table.text() for table in tables)}
{markdown_table(["by", "peak memory beyond the model, MB", "of torchvision's"], rows, "lrr")}"""
    numbers = {"time": [table.numbers for table in tables], "mb": memory}
    return Report("benchmark_training", "Speed of training", command, numbers, text, {})


def _memory(name: str, data: str | None, device: str, keep: bool) -> float:
    if device == "cpu":
        return in_fresh_process(peak, name, data, keep)
    step = step_of(name, batch_of(pictures(data, BATCH, SIDE, 2 * SIDE), OBJECTS).to(torch.device(device)))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
