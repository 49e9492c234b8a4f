"""Time and memory of the detector as one thing grows and all others stay."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.measuring import in_fresh_process, resident
from benchmarks.peers import batch_of, pictures
from detection.config.schema import ModelConfig
from detection.experiments.report import Report
from detection.markdown import markdown_table
from detection.model.build import build_model
from detection.predict.prepare import prepare

INFERENCE = {"batch": [1, 2, 4, 8], "short side": [400, 600, 800, 1000, 1333], "classes": [1, 10, 100, 1000]}
TRAINING = {"boxes an image": [1, 10, 100, 1000, 2000]}


def _model(classes: int) -> Any:
    torch.manual_seed(0)
    return build_model(ModelConfig("fpn", "resnet18", None, "frozen"), classes)


def inference(device: str, kind: str, value: int) -> tuple[float, float]:
    """Seconds of an image batch through a prepared ResNet-18-FPN, and MB it adds; for a fresh process."""
    images = value if kind == "batch" else 1
    side = value if kind == "short side" else 400
    model = prepare(_model(value if kind == "classes" else 80)).to(device)
    batch = batch_of(pictures(None, images, side, 2 * side)).to(torch.device(device))
    with torch.inference_mode():
        return _measured(partial(model, batch), device)


def training(device: str, kind: str, value: int) -> tuple[float, float]:
    """Seconds of forward and backward of one image with `value` objects, and MB it adds; for a fresh process."""
    model = _model(80).to(device).train()
    batch = batch_of(pictures(None, 1, 400, 800), value).to(torch.device(device))

    def step() -> None:
        torch.stack(list(model(batch).values())).sum().backward()

    return _measured(step, device)


def _measured(run: Callable[[], Any], device: str) -> tuple[float, float]:
    before = resident()
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else resident() - before
    return sorted(seconds[1:])[1], memory


def measure(device: str, command: list[str]) -> Report:
    rows, numbers = [], []
    for function, series in ((inference, INFERENCE), (training, TRAINING)):
        for kind, values in series.items():
            found = [in_fresh_process(function, device, kind, value) for value in values]
            for i, (value, (seconds, memory)) in enumerate(zip(values, found)):
                power = _power(values, found, i) if i else None
                numbers.append({"work": function.__name__, kind: value, "seconds": seconds, "mb": memory})
                shown = "" if power is None else f"{power:.2f}"
                rows.append([function.__name__, kind, str(value), f"{1000 * seconds:.0f}", shown, f"{memory:.0f}"])
    header = ["work", "of", "value", "ms", "power since the row above", "MB"]
    text = f"""ResNet-18-FPN, 80 classes, 400 pixels, one image unless the row says otherwise, each row in a process of
its own. Linear growth is a power of 1; in the short side, of which an image has two, it is 2.

{markdown_table(header, rows, "llrrrr")}"""
    return Report("benchmark_growth", "Growth of time and memory", command, {"rows": numbers}, text, {})


def _power(values: list[int], found: list[tuple[float, float]], i: int) -> float:
    return math.log(found[i][0] / found[i - 1][0]) / math.log(values[i] / values[i - 1])
