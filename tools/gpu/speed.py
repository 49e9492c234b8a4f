"""Images a second of training and inference beside torchvision's detector with the same weights, peak memory, the share
of the time in which the GPU idles, and host synchronisations."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from benchmarks.measuring import Table, alternate
from benchmarks.peers import (
    CLASSES,
    as_torchvision,
    batch_of,
    pictures,
    same_in_toolkit,
    torchvision_detector,
    torchvision_step,
)

from detection.engine.hardware import use_tf32
from detection.engine.loop import AMP_TYPES
from detection.engine.optimizer import build_optimizer
from detection.markdown import markdown_table
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.prepare import PRECISIONS, in_precision, prepare
from detection.records import Batch
from gpu.findings import Check, Found

STEP_SYNCHRONISATIONS, IMAGE_SYNCHRONISATIONS = 4, 3
"""Most that a training step and an image of inference may make the host wait for the device."""

PEER = "torchvision"

Way = tuple[str, bool, str, bool]
"""label, TF32, precision, compiled"""


def measure(device: torch.device, precisions: list[str], quick: bool, compiled: bool = True) -> Found:
    rounds = 1 if quick else 10
    train_side, batch, side = (64, 1, 64) if quick else (640, 8, 800)
    classes = 3 if quick else CLASSES
    ways = [way for way in _ways(device, precisions) if compiled or not way[3]]
    step_text, step_numbers, step_checks = _training(device, ways, train_side, batch, rounds, classes)
    text, numbers, checks = _inference(device, ways, side, rounds, classes)
    return Found(step_checks + checks, {"training": step_numbers, "inference": numbers}, "\n\n".join([step_text, text]))


def _training(
    device: torch.device, ways: list[Way], side: int, count: int, rounds: int, classes: int
) -> tuple[str, dict[str, Any], list[Check]]:
    """A step of ResNet-50-FPN on `count` images."""
    batch = batch_of(pictures(None, count, side, 2 * side), boxes=10, classes=classes).to(device)
    rows, numbers, checks = [], {}, []
    for label, tf32, precision, compiled in ways:
        use_tf32(tf32)
        peer = torchvision_step(torchvision_detector(classes).to(device), batch)
        amp = AMP_TYPES[precision]
        sides = {
            PEER: partial(_cast, peer, device, amp),
            label: partial(_cast, _step(batch, compiled, classes), device, amp),
        }
        seconds, memory = _alternately(sides, device, rounds)
        table = Table(PEER)
        table.add(label, seconds)
        numbers[label] = {**table.numbers[label], "memory_MiB": memory}
        ratio = table.numbers[label]["ratio"][label]
        rows.append(
            [label, f"{count / _median(seconds[PEER]):.1f}", f"{count / _median(seconds[label]):.1f}", f"{ratio:.2f}"]
            + [f"{memory[PEER]:.0f}", f"{memory[label]:.0f}", _idle(sides[label], device)]
        )
        if label == "fp32":
            checks += _synchronisations("a training step", sides[label], device, STEP_SYNCHRONISATIONS)
    header = ["training", "torchvision, images/s", "ours, images/s", "ratio", "its MiB", "our MiB", "idle"]
    text = f"A training step, ResNet-50-FPN, {count} images of {side} pixels:\n\n"
    return text + markdown_table(header, rows, "lrrrrrr"), numbers, checks


def _inference(
    device: torch.device, ways: list[Way], side: int, rounds: int, classes: int
) -> tuple[str, dict[str, Any], list[Check]]:
    """One image of ResNet-50-FPN, prepared."""
    peer = torchvision_detector(classes)
    model = same_in_toolkit(peer).eval().to(device)
    peer = peer.eval().to(device)
    batch = batch_of(pictures(None, 1, side, 2 * side)).to(device)
    image = batch.images[0].float() / 255
    rows, numbers, checks = [], {}, []
    for label, tf32, precision, compiled in ways:
        use_tf32(tf32)
        kind = "fp32" if precision == "off" else precision
        began = time.monotonic()
        serving = prepare(model, compiled)
        sides: dict[str, Callable[[], Any]] = {
            PEER: partial(_detect, peer, [image], kind, device),
            label: partial(_detect, serving, batch, kind, device),
        }
        sides[label]()
        first = time.monotonic() - began
        seconds, memory = _alternately(sides, device, rounds)
        table = Table(PEER)
        table.add(label, seconds)
        numbers[label] = {**table.numbers[label], "memory_MiB": memory, "first_image_s": first}
        ratio = table.numbers[label]["ratio"][label]
        rows.append(
            [label, f"{1 / _median(seconds[PEER]):.1f}", f"{1 / _median(seconds[label]):.1f}", f"{ratio:.2f}"]
            + [f"{memory[PEER]:.0f}", f"{memory[label]:.0f}", _idle(sides[label], device), f"{first:.1f}"]
        )
        if label == "fp32":
            checks += _synchronisations("an image", sides[label], device, IMAGE_SYNCHRONISATIONS)
    header = ["inference", "torchvision, images/s", "ours, images/s", "ratio", "its MiB", "our MiB", "idle", "first, s"]
    text = f"One image of {side} pixels, ResNet-50-FPN, {classes} classes, prepared:\n\n"
    return text + markdown_table(header, rows, "lrrrrrrr"), numbers, checks


def _ways(device: torch.device, precisions: list[str]) -> list[Way]:
    ways = [("fp32", False, "off", False)]
    if device.type == "cuda":
        ways.append(("tf32", True, "off", False))
    ways += [(name, device.type == "cuda", name, False) for name in precisions if name != "off"]
    best = precisions[1] if len(precisions) > 1 and device.type == "cuda" else "off"
    return [*ways, (f"{'fp32' if best == 'off' else best}, compiled", device.type == "cuda", best, True)]


def _step(batch: Batch, compiled: bool, classes: int) -> Callable[[], Any]:
    model = same_in_toolkit(torchvision_detector(classes), as_torchvision(classes)).train().to(batch.images.device)
    if compiled:
        model.compile_trunk()
    optimizer = build_optimizer(model, 1e-4, 0.9, 0.0, 0.0, 0.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(model(batch).values())).sum().backward()
        optimizer.step()

    return step


def _cast(step: Callable[[], Any], device: torch.device, amp: torch.dtype | None) -> None:
    """A step in mixed precision, without the scaler: what it costs is a scalar's product."""
    context: AbstractContextManager[Any] = torch.autocast(device.type, dtype=amp) if amp else nullcontext()
    with context:
        step()


@torch.inference_mode()
def _detect(model: torch.nn.Module | FasterRCNN, given: Any, precision: str, device: torch.device) -> None:
    assert precision in PRECISIONS
    with in_precision(precision, device):
        model(given)


def _alternately(
    sides: Mapping[str, Callable[[], Any]], device: torch.device, rounds: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each round by turns, and MiB of device memory that one call of each side adds at its peak."""
    seconds = alternate(dict(sides), rounds)
    memory = {}
    for name, run in sides.items():
        if device.type != "cuda":
            memory[name] = float("nan")
            continue
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        memory[name] = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    return seconds, memory


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _idle(run: Callable[[], Any], device: torch.device, calls: int = 5) -> str:
    """Share of the time in which no kernel runs."""
    if device.type != "cuda":
        return "-"
    torch.cuda.synchronize(device)
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        began = time.perf_counter()
        for _ in range(calls):
            run()
        torch.cuda.synchronize(device)
        elapsed = time.perf_counter() - began
    busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return f"{max(1 - busy / elapsed, 0):.0%}"


def _synchronisations(what: str, run: Callable[[], Any], device: torch.device, limit: int) -> list[Check]:
    """What torch itself warns of when the host waits for the device; only CUDA tells."""
    if device.type != "cuda":
        return []
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    count = sum("synchroniz" in str(warning.message) for warning in seen)
    return [Check(f"{what} makes the host wait at most {limit} times", count <= limit, f"{count} times")]
