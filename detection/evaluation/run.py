"""A detector over a dataset: its detections and its losses, and what a watcher makes of each image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from backbones.modes import in_mode
from detection.model.faster_rcnn import FasterRCNN, Inference
from detection.records import Batch, Detections

Watch = Callable[[FasterRCNN, Batch, Inference], list[Any]]
"""What is asked of every batch, on its device, beside detections: something for each of its images."""


@dataclass(frozen=True)
class Outcome:
    """rows and detections: one each an image, in the order seen. losses: of each batch its number of images and its
    means over them, by the row of its first image. seen: by row what `Watch` said, empty without one."""

    rows: list[int]
    detections: list[Detections]
    losses: dict[int, tuple[int, dict[str, float]]]
    seen: dict[int, Any]


def joined(parts: Sequence[Outcome]) -> tuple[list[int], list[Detections], dict[str, float], dict[int, Any]]:
    """Rows in order, their detections, the means of the losses over all images, and what was seen: to the last digit
    the same however the batches were shared out."""
    pairs = sorted(((r, d) for p in parts for r, d in zip(p.rows, p.detections)), key=lambda pair: pair[0])
    batches = [batch for p in parts for batch in p.losses.values()]
    images = sum(count for count, _ in batches)
    names = list(batches[0][1]) if batches else []
    losses = {n: math.fsum(count * found[n] for count, found in batches) / images for n in names}
    seen = {row: own for part in parts for row, own in part.seen.items()}
    return [r for r, _ in pairs], [d for _, d in pairs], losses, seen


@torch.no_grad()
def run_detector(
    model: FasterRCNN, batches: Iterable[Batch], device: torch.device, watch: Watch | None = None
) -> Outcome:
    """Detections of every image, and the four losses, by the running statistics and without dropout, over the anchors
    and the proposals of testing that the seeds of the batches choose; both of one pass."""
    found = Outcome([], [], {}, {})
    with in_mode(model, training=False):
        for batch in batches:
            batch = batch.to(device)
            inferred = model.infer(model.maps(batch), batch)
            values = model.validation_losses(inferred, batch)
            means = torch.stack(list(values.values())).tolist()
            found.losses[batch.indices[0]] = len(batch.indices), dict(zip(values, means))
            found.detections.extend(d.to("cpu") for d in model.select(inferred, batch))
            found.rows.extend(batch.indices)
            if watch is not None:
                found.seen.update(zip(batch.indices, watch(model, batch, inferred)))
    return found
