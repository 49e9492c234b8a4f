"""How many objects an image is said to hold, held against how many it has: what people who count ask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detection.data.index import AnnotationIndex


@dataclass(frozen=True)
class Count:
    """Of one class. truth, found: (N,) int64 objects and reported detections of each image."""

    truth: np.ndarray
    found: np.ndarray

    @property
    def mean_error(self) -> float:
        """How far an image's count is off, in objects."""
        return float(np.abs(self.found - self.truth).mean()) if len(self.truth) else 0.0

    @property
    def bias(self) -> float:
        """Objects an image that are reported too many, below 0 too few."""
        return float((self.found - self.truth).mean()) if len(self.truth) else 0.0

    @property
    def exact(self) -> float:
        """Share of the images whose count is right."""
        return float((self.found == self.truth).mean()) if len(self.truth) else 0.0


def count_objects(index: AnnotationIndex, owner: np.ndarray, labels: np.ndarray, reported: np.ndarray) -> list[Count]:
    """By label. owner, labels: (D,) row of the image and label of each detection; reported: (D,) bool, whether it
    scores enough and lies on nothing that is to be ignored."""
    asked = ~(index.crowd | index.difficult)
    image_of = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    return [
        Count(
            np.bincount(image_of[asked & (index.labels == label)], minlength=len(index)),
            np.bincount(owner[reported & (labels == label)], minlength=len(index)),
        )
        for label in range(len(index.class_names))
    ]
