"""A detector over a dataset: its detections, and its losses where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from detection.model.faster_rcnn import FasterRCNN
from detection.records import Batch, Detections


@dataclass(frozen=True)
class Outcome:
    """rows and detections: one each an image, in the order seen. losses: means over the images, empty unless asked."""

    rows: list[int]
    detections: list[Detections]
    losses: dict[str, float]


@torch.no_grad()
def run_detector(
    model: FasterRCNN, batches: Iterable[Batch], device: torch.device, losses: bool = False, seed: int = 0
) -> Outcome:
    """Detect in every image. With `losses` also the four training losses, by the running statistics and without
    dropout; the same anchors and proposals are sampled in every call with the same `seed`."""
    was_training = model.training
    model.eval()
    rows: list[int] = []
    detections: list[Detections] = []
    sums: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch in batches:
            batch = batch.to(device)
            maps = model.maps(batch)
            detections += [d.to("cpu") for d in model.detect(maps, batch)]
            rows += batch.indices
            if losses:
                for name, value in model.losses(maps, batch).items():
                    sums[name] = sums.get(name, torch.zeros((), device=device)) + value * len(batch.indices)
    model.train(was_training)
    return Outcome(rows, detections, {name: float(value) / max(len(rows), 1) for name, value in sums.items()})
