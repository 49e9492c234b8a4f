"""A detector over a dataset: its detections, and its losses where they are wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from backbones.modes import in_mode
from detection.model.faster_rcnn import FasterRCNN
from detection.records import Batch, Detections


@dataclass(frozen=True)
class Outcome:
    """rows and detections: one each an image, in the order seen. losses: of each batch its number of images and its
    means over them, by the row of its first image; empty unless asked."""

    rows: list[int]
    detections: list[Detections]
    losses: dict[int, tuple[int, dict[str, float]]]


def joined(parts: Sequence[Outcome]) -> tuple[list[int], list[Detections], dict[str, float]]:
    """Rows in order, their detections, and the means of the losses over all images: to the last digit the same however
    the batches were shared out."""
    pairs = sorted(((r, d) for p in parts for r, d in zip(p.rows, p.detections)), key=lambda pair: pair[0])
    batches = [batch for p in parts for batch in p.losses.values()]
    images = sum(count for count, _ in batches)
    names = list(batches[0][1]) if batches else []
    losses = {n: math.fsum(count * found[n] for count, found in batches) / images for n in names}
    return [r for r, _ in pairs], [d for _, d in pairs], losses


@torch.no_grad()
def run_detector(model: FasterRCNN, batches: Iterable[Batch], device: torch.device, losses: bool = False) -> Outcome:
    """Detect in every image. With `losses` also the four losses, by the running statistics and without dropout, over
    the anchors and the proposals of testing that the seeds of the batches choose."""
    rows: list[int] = []
    detections: list[Detections] = []
    found: dict[int, tuple[int, dict[str, float]]] = {}
    with in_mode(model, training=False):
        for batch in batches:
            batch = batch.to(device)
            maps = model.maps(batch)
            if losses:
                own, values = model.validate(maps, batch)
                means = torch.stack(list(values.values())).tolist()
                found[batch.indices[0]] = len(batch.indices), dict(zip(values, means))
            else:
                own = model.detect(maps, batch)
            detections += [d.to("cpu") for d in own]
            rows += batch.indices
    return Outcome(rows, detections, found)
