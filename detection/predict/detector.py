"""A trained detector for images that nobody annotated."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from detection.data.image import as_rgb, resize_image, resize_size, to_planes
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.prepare import prepare
from detection.records import Detections, Sample, collate


@dataclass(frozen=True)
class Detector:
    """A model with all that prediction needs.

    class_names: in label order; short_side, long_side: input size in pixels, as in training; device: where it runs;
    grey_bits: with which files are to be read for it, see `read_image`; thresholds: from which score on a detection of
    each label is to be believed, where `frcnn threshold` has chosen them.
    """

    model: FasterRCNN
    class_names: tuple[str, ...]
    short_side: int
    long_side: int
    device: torch.device
    grey_bits: int = 16
    thresholds: tuple[float, ...] | None = None

    def at(self, short_side: int | None) -> Detector:
        """The detector at another input size; the limit of the long side grows and shrinks with the short one, so that
        images of any shape are enlarged alike. None: at its own."""
        if short_side is None:
            return self
        return replace(self, short_side=short_side, long_side=round(self.long_side * short_side / self.short_side))

    def served(self, compiled: bool = False) -> Detector:
        """The detector prepared for prediction: the same detections sooner, no training; compiled: see `prepare`."""
        return replace(self, model=prepare(self.model, compiled))

    def finding(self, least: float | None = None, count: int | None = None) -> Detector:
        """The detector with everything that scores above `least`, and up to `count` detections an image, beside what
        it finds anyway."""
        model = copy.copy(self.model)
        model._modules = {**model._modules, "roi_stage": copy.copy(model.roi_stage)}
        limits = model.roi_stage.limits
        score = limits.score if least is None else min(limits.score, least)
        model.roi_stage.limits = replace(limits, score=score, count=max(limits.count, count or 0))
        return replace(self, model=model)

    def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Detections of each image, (H, W, 3) uint8 RGB of any size or what else `detection.data.image.as_rgb` takes,
        in the image's own pixels.

        Images are padded to one canvas, which moves results a little; one at a time gives the numbers of evaluation.
        """
        return self.detect([self.prepare(image) for image in images])

    def prepare(self, image: np.ndarray) -> Sample:
        """The image as `detect` takes it; may be called in other threads."""
        return to_sample(as_rgb(image), self.short_side, self.long_side)

    @torch.inference_mode()
    def detect(self, samples: Sequence[Sample]) -> list[Detections]:
        """Detections of what `prepare` gave."""
        if not samples:
            return []
        batch = collate(list(samples), self.model.size_multiple)
        self.model.eval()
        batch = (batch.pin_memory() if self.device.type == "cuda" else batch).to(self.device)
        return [found.to("cpu") for found in self.model.detect(self.model.maps(batch), batch)]


def to_sample(image: np.ndarray, short_side: int, long_side: int, index: int = 0) -> Sample:
    """The (H, W, 3) uint8 RGB image at the size that the limits of its sides give, in pixels."""
    original = (image.shape[0], image.shape[1])
    resized = resize_image(image, resize_size(original, short_side, long_side))
    pixels = torch.from_numpy(to_planes(resized))
    return Sample(pixels, None, original, index)
