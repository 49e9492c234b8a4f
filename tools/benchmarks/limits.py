"""What the machine could do, and what each stage of the detector makes of it."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers import batch_of, pictures, same_in_toolkit, torchvision_detector
from detection.allocator import keep_freed_memory
from detection.data.image import resize_image
from detection.experiments.report import Report
from detection.markdown import markdown_table
from detection.predict.prepare import prepare


def _median(run: Callable[[], Any], rounds: int) -> float:
    run()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def rates(rounds: int) -> dict[str, float]:
    """10^9 operations a second of a matrix product and of a wide convolution, and 10^9 bytes a second of a copy."""
    a, b = torch.randn(2, 2048, 2048)
    x = torch.randn(1, 256, 200, 272).contiguous(memory_format=torch.channels_last)
    w = torch.randn(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    big, into = torch.randn(2, 2**25)
    return {
        "matrix product": 2 * 2048**3 / _median(lambda: a @ b, rounds) / 1e9,
        "3x3 convolution": 2 * 9 * 256**2 * 200 * 272 / _median(lambda: F.conv2d(x, w, padding=1), rounds) / 1e9,
        "copy, GB/s": 2 * 2**27 / _median(lambda: into.copy_(big), rounds) / 1e9,
    }


@torch.inference_mode()
def measure(data: str | None, rounds: int, command: list[str]) -> Report:
    keep_freed_memory()
    limit = rates(rounds)
    model = same_in_toolkit(torchvision_detector()).eval()
    serving = prepare(model)
    picture = pictures(data, 1, 480, 640)[0].permute(1, 2, 0).contiguous().numpy()
    batch = batch_of(pictures(data, 1, 800, 1333))
    stages = _stages(serving, picture, batch)
    work = _operations(model, batch)
    rows, numbers = [], {}
    best = max(limit["matrix product"], limit["3x3 convolution"])
    for name, run in stages.items():
        seconds = _median(run, rounds)
        numbers[name] = {"seconds": seconds, "gflop": work.get(name, 0.0)}
        rate = work.get(name, 0.0) / seconds
        shown = [f"{work[name]:.0f}", f"{rate:.0f}", f"{rate / best:.2f}"] if name in work else ["", "", ""]
        rows.append([name, f"{1000 * seconds:.1f}", *shown])
    machine = markdown_table(["the machine", "10^9 a second"], [[k, f"{v:.0f}"] for k, v in limit.items()], "lr")
    header = ["stage", "ms", "10^9 operations", "10^9 a second", "share of the limit"]
    text = f"""{machine}

ResNet-50-FPN, prepared, one image of {batch.sizes[0][0]} x {batch.sizes[0][1]} pixels, 1,000 proposals, 80 classes.
Operations are those of direct convolutions; Winograd's need fewer, so a stage may seem to exceed the limit.

{markdown_table(header, rows, "lrrrr")}"""
    return Report("benchmark_limits", "The limit", command, {"machine": limit, "stages": numbers}, text, {})


def _stages(model: Any, picture: np.ndarray, batch: Any) -> dict[str, Callable[[], Any]]:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    x = model.normalise(batch).contiguous(memory_format=torch.channels_last)
    body = model.backbone.feature_maps(x)
    maps = model.neck(body)
    output = model.rpn(maps)
    boxes = [p.boxes for p in model.propose(output, batch, model.test_limits)]
    stage, regions = model.roi_stage, model.region_maps(maps)
    pooled = stage.pooler(regions, boxes)
    feature = stage.head(pooled)
    logits, deltas = stage.predictor(feature)
    return {
        "decode 640 x 480": lambda: np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")),
        "resize": partial(resize_image, picture, batch.sizes[0]),
        "normalise": lambda: model.normalise(batch).contiguous(memory_format=torch.channels_last),
        "backbone": partial(model.backbone.feature_maps, x),
        "FPN": partial(model.neck, body),
        "RPN": partial(model.rpn, maps),
        "proposals": partial(model.propose, output, batch, model.test_limits),
        "RoI pooling": partial(stage.pooler, regions, boxes),
        "RoI head": lambda: stage.predictor(stage.head(pooled)),
        "post-processing": partial(stage.select, logits, deltas, boxes, batch.sizes, batch.original_sizes),
        "the whole": partial(model, batch),
    }


def _operations(model: Any, batch: Any) -> dict[str, float]:
    """10^9 operations of each stage that has convolutions or linear layers, counted on shapes alone."""
    meta = model.to("meta")
    x = torch.empty(1, 3, *batch.images.shape[-2:], device="meta")
    x = F.pad(x, (0, -x.shape[3] % 32, 0, -x.shape[2] % 32))
    counts: dict[str, float] = {}

    def counted(name: str, run: Callable[[], Any]) -> Any:
        with FlopCounterMode(display=False) as counter:
            found = run()
        counts[name] = counter.get_total_flops() / 1e9
        return found

    body = counted("backbone", lambda: meta.backbone.feature_maps(x))
    maps = counted("FPN", lambda: meta.neck(body))
    counted("RPN", lambda: meta.rpn.head(maps))
    pooled = torch.empty(1000, maps[0].shape[1], 7, 7, device="meta")
    counted("RoI head", lambda: meta.roi_stage.predictor(meta.roi_stage.head(pooled)))
    counts["the whole"] = sum(counts.values())
    return counts
