"""Short trainings on the embedded dataset: that each precision learns, and that a stopped run resumes."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from detection import checkpoint
from detection.config.schema import Config, DetectorTrainConfig, InputConfig, ModelConfig
from detection.data.shapes import write_shapes
from detection.markdown import markdown_table
from detection.training.train import train
from gpu.findings import Check, Found

TRAIN, VAL, SIDE = 200, 40, 224


def config(data: Path, output: Path, device: torch.device, quick: bool) -> Config:
    """A net from scratch that learns the shapes in a minute or two on a GPU."""
    size = 64 if quick else SIDE
    model = ModelConfig("fpn", "resnet18", None, "batch", width=8 if quick else 32, fpn_channels=16 if quick else 128)
    model.anchors.sizes = [[8.0], [16.0], [32.0], [64.0], [128.0]]
    if quick:
        model.roi.hidden, model.roi.batch_per_image = 32, 32
        model.rpn.train_after_nms = model.rpn.test_after_nms = 50
    sides = InputConfig([size], size, 2 * size, workers=0 if quick else None)
    steps = 8 if quick else 300
    training = DetectorTrainConfig(
        batch=4 if quick else 16, iterations=steps, lr=0.02, schedule="cosine", warmup=steps // 4, clip=10.0
    )
    training.evaluate_every, training.checkpoint_every, training.log_every = steps, steps // 2, max(steps // 20, 1)
    training.pictures = 0
    return Config(str(data), str(output), str(device), input=sides, model=model, train=training)


def steps_of(settings: Config) -> int:
    assert settings.train.iterations is not None
    return settings.train.iterations


def dataset(folder: Path, quick: bool) -> Path:
    return write_shapes(folder, 8 if quick else TRAIN, 4 if quick else VAL, 64 if quick else SIDE)


def learn(device: torch.device, precisions: list[str], quick: bool) -> Found:
    """The loss falls by a third in every precision; the AP is told."""
    rows, checks, numbers = [], [], {}
    with tempfile.TemporaryDirectory() as name:
        data = dataset(Path(name) / "shapes", quick)
        for precision in precisions:
            settings = config(data, Path(name) / precision, device, quick)
            settings.train.amp = precision  # type: ignore[assignment]
            began = time.monotonic()
            result = train(settings)
            seconds = time.monotonic() - began
            losses = _losses(Path(settings.output))
            assert result is not None
            numbers[precision] = {"AP": result.evaluation.stats["AP"], "losses": losses, "seconds": seconds}
            limit = 1.0 if quick else 0.67
            checks.append(
                Check(
                    f"amp {precision}: learns",
                    losses[-1] < limit * losses[0],
                    f"loss {losses[0]:.3f} to {losses[-1]:.3f}, below {limit:g} of it",
                )
            )
            rows.append([precision, f"{result.evaluation.stats['AP']:.3f}", f"{losses[-1]:.3f}", f"{seconds:.0f}"])
    text = f"Training from scratch on {TRAIN} shapes, {settings.train.iterations} steps:\n\n"
    return Found(checks, numbers, text + markdown_table(["amp", "AP", "loss", "seconds"], rows, "lrrr"))


def _losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line and "lr" in line]


def resume(device: torch.device, quick: bool) -> Found:
    """A run, and the same one stopped half-way and resumed. On a CPU the weights are the same to the last bit; on a GPU
    sums of atomic additions differ from run to run, and so two whole runs are the measure."""
    with tempfile.TemporaryDirectory() as name:
        data = dataset(Path(name) / "shapes", quick)
        ends = [_end(_short(config(data, Path(name) / run, device, quick))) for run in ("whole", "again")]
        parts = _short(config(data, Path(name) / "parts", device, quick))
        train(replace(parts, train=replace(parts.train, iterations=steps_of(parts) // 2, schedule="step")))
        ends.append(_end(replace(parts, resume=True)))
    spread, resumed = _distance(ends[0], ends[1]), _distance(ends[0], ends[2])
    limit = 0.0 if device.type == "cpu" else max(10 * spread, 1e-3)
    check = Check("a resumed run ends as a whole one", resumed <= limit, f"{resumed:.2g}, at most {limit:.2g}")
    return Found([check], {"two whole runs": spread, "whole and resumed": resumed})


def _short(settings: Config) -> Config:
    """A tenth of the steps at one rate, so that half a run is the beginning of a whole one."""
    steps = max(steps_of(settings) // 10, 4)
    steady = replace(settings.train, iterations=steps, schedule="step", steps=[], warmup=0, evaluate_every=steps // 2)
    return replace(settings, train=replace(steady, checkpoint_every=steps // 2, lr=0.005))


def _end(settings: Config) -> dict[str, Any]:
    train(settings)
    return checkpoint.load(Path(settings.output) / "last.pt", "detection")["model"]


def _distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest difference of a tensor, relative to its norm."""
    return max(
        float((one[key].cpu().double() - other[key].cpu().double()).norm() / one[key].double().norm().clamp(min=1e-9))
        for key in one
    )
