"""The improvements of He et al. 2015, appendix B, on trained detectors: box refinement with voting, testing at many
scales, ensembles; and mirrored views, Soft-NMS and weighted box fusion beside them.

One image: views -> proposals -> scores of the regions -> scores of the refined regions -> selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backbones.modes import in_mode
from detection.data.image import as_rgb
from detection.errors import InputError
from detection.geometry.boxes import clip, larger_than
from detection.model.selection import Candidates, DetectionLimits, candidates, strongest, to_detections
from detection.predict.detector import Detector
from detection.predict.fusion import fuse, require_fusion
from detection.predict.passes import look, passes_of, propose, score
from detection.predict.soft_nms import soften
from detection.predict.voting import vote
from detection.records import Detections, Size
from detection.transfer import on_host

SUPPRESSIONS = {
    "nms": lambda found, nms, limits, size: strongest(found, nms, limits.count),
    "soft": lambda found, nms, limits, size: soften(found, nms, limits.count, limits.score),
    "wbf": lambda found, nms, limits, size: fuse(found, nms, limits.count, size),
}
"""(candidates, IoU, limits, size of their image) -> detections, best first"""

UNIONS = ("all", "best")

REFINED_NMS = 0.3
"""IoU of the suppression after refinement (He et al. 2015, appendix B)."""


@dataclass(frozen=True)
class Improvements:
    """What is done at test time beyond one pass. Each works alone and with all others.

    refine: score each region's regressed box too, and take the predictions of both together.
    vote: suppression is followed by box voting; None: with `refine`.
    scales: short sides in pixels (the paper: 200, 400, 600, 800, 1000) at which the second stage looks, each region at
        two of them; none: the model's own. Proposals come from the model's own scale in any case.
    flip: the second stage looks at the mirrored image too.
    suppression: a key of `SUPPRESSIONS`.
    nms: IoU of the suppression; None: the first model's own, and 0.3 with `refine`.
    union: which regions an ensemble scores: `all` that its models propose, less those that one model's suppress
        another's (the paper's union), or the `best` of these by score, as many as the first model proposes alone.
    """

    refine: bool = False
    vote: bool | None = None
    scales: tuple[int, ...] = ()
    flip: bool = False
    suppression: str = "nms"
    nms: float | None = None
    union: str = "all"

    def __post_init__(self) -> None:
        if self.suppression not in SUPPRESSIONS:
            raise ValueError(f"there is no suppression {self.suppression!r}; there is {', '.join(SUPPRESSIONS)}")
        if self.union not in UNIONS:
            raise ValueError(f"there is no union {self.union!r}; there is {', '.join(UNIONS)}")
        if any(side < 1 for side in self.scales):
            raise ValueError(f"scales are short sides in pixels, 1 or more; got {self.scales}")

    def threshold(self, limits: DetectionLimits) -> float:
        """IoU of the suppression for a model of these `limits`."""
        if self.nms is not None:
            return self.nms
        return REFINED_NMS if self.refine else limits.nms


class ImprovedDetector:
    """One or several detectors, called like a `Detector`. Without improvements one gives its own numbers.

    short_side, long_side: of the largest scale, in pixels. The limits of proposals and detections are the first one's.
    Regions of an ensemble are scored by every model, and scores and boxes are averaged. Raises `InputError` where class
    names differ, or wbf lacks its library.
    """

    def __init__(self, detectors: Sequence[Detector], improvements: Improvements | None = None) -> None:
        self.detectors = list(detectors)
        self.improvements = improvements or Improvements()
        self.class_names = self.detectors[0].class_names
        self.device = self.detectors[0].device
        self.grey_bits = self.detectors[0].grey_bits
        largest = max(self.detectors[0].short_side, *self.improvements.scales, 0)
        self.short_side, self.long_side = largest, self.detectors[0].at(largest).long_side
        _check_classes(self.detectors)
        if self.improvements.suppression == "wbf":
            require_fusion()

    def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Detections of each image, (H, W, 3) uint8 RGB of any size or what else `detection.data.image.as_rgb` takes,
        in the image's own pixels; one at a time."""
        return self.detect(images)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """The image as `detect` takes it: as it is, since each model and scale has its own size."""
        return as_rgb(image)

    @torch.inference_mode()
    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Detections of what `prepare` gave."""
        with ExitStack() as loans:
            for detector in self.detectors:
                loans.enter_context(in_mode(detector.model, training=False))
            return [self._detect(image).to("cpu") for image in images]

    def _detect(self, image: np.ndarray) -> Detections:
        chosen = self.improvements
        plain = [look(detector, image, detector.short_side) for detector in self.detectors]
        frame = plain[0].size
        regions = propose(self.detectors, plain, frame, cut=chosen.union == "best")
        passes = []
        for detector, view in zip(self.detectors, plain):
            passes += passes_of(detector, image, view, chosen.scales, chosen.flip)
        boxes, scores = score(passes, regions, frame)
        if chosen.refine:
            more_boxes, more_scores = score(passes, refined(boxes, scores, frame), frame)
            boxes, scores = torch.cat([boxes, more_boxes]), torch.cat([scores, more_scores])
        return to_detections(self._select(boxes, scores, frame), frame, (image.shape[0], image.shape[1]))

    def _select(self, boxes: Tensor, scores: Tensor, frame: Size) -> Candidates:
        chosen, limits = self.improvements, self.detectors[0].model.roi_stage.limits
        voting = chosen.refine if chosen.vote is None else chosen.vote
        # All regions' boxes of every class vote, whatever they score, as the authors' code has it.
        every = candidates(boxes, scores, frame, 0.0 if voting else limits.score)
        found = every.take(every.scores > limits.score)
        kept = SUPPRESSIONS[chosen.suppression](found, chosen.threshold(limits), limits, frame)
        return vote(kept, every) if voting else kept


def refined(boxes: Tensor, scores: Tensor, size: Size) -> Tensor:
    """(R', 4) regions to score next: each region's box of its best class, within the image; empty ones are dropped.
    On the host."""
    column = scores.argmax(1).clamp(max=boxes.shape[1] - 1)
    rows = torch.arange(len(boxes), device=boxes.device)
    regressed = on_host(clip(boxes[rows, column], size))[0]
    return regressed[larger_than(regressed, 0.0)]


def _check_classes(detectors: Sequence[Detector]) -> None:
    first = detectors[0].class_names
    for number, detector in enumerate(detectors[1:], 2):
        names = detector.class_names
        for label in range(max(len(first), len(names))):
            ours, theirs = (repr(n[label]) if label < len(n) else "missing" for n in (first, names))
            if ours != theirs:
                raise InputError(
                    f"ensemble: class {label} is {ours} in model 1 and {theirs} in model {number}; "
                    "all models must have the same classes in the same order"
                )
