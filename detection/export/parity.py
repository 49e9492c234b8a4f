"""How far apart two ways of computing the same detector are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.data.image import read_image
from detection.geometry.boxes import iou
from detection.predict.detector import Detector
from detection.progress import track
from detection.records import Detections

SCORE, SAME = 0.3, 0.9
"""Detections that score at least this are compared; those of one class that overlap by this IoU are the same."""


@dataclass(frozen=True)
class Parity:
    """images: looked at; expected, found: confident detections of either; same: of the expected, those that the other
    has too; pixels, score: largest differences among the same."""

    images: int
    expected: int
    found: int
    same: int
    pixels: float
    score: float


def compare(
    reference: Detector, other: Callable[[list[np.ndarray]], list[Detections]], images: Sequence[Path]
) -> Parity:
    """The detections of both in each image, one image at a time."""
    expected = found = same = 0
    pixels = score = 0.0
    for path in track(images, "comparing with torch", len(images)):
        image = read_image(path, reference.grey_bits)
        first, second = (detector([image])[0].above(SCORE) for detector in (reference, other))
        expected, found = expected + len(first.boxes), found + len(second.boxes)
        if not len(first.boxes) or not len(second.boxes):
            continue
        overlap = iou(first.boxes, second.boxes) * (first.labels[:, None] == second.labels[None])
        best, match = overlap.max(1)
        kept = best >= SAME
        same += int(kept.sum())
        if kept.any():
            mine, theirs = first.boxes[kept], second.boxes[match[kept]]
            pixels = max(pixels, float((mine - theirs).abs().max()))
            score = max(score, float((first.scores[kept] - second.scores[match[kept]]).abs().max()))
    return Parity(len(images), expected, found, same, pixels, score)
