"""The records that travel between the rooms: Target, Sample, Batch, Detections.

Conventions, here and everywhere:
    boxes    (N, 4) float32, x1 y1 x2 y2 in pixels, continuous edges: x2 - x1 is the width
    labels   (N,) int64, 0..K-1 in the order of the class names; background is K
    sizes    (height, width), always in this order
    images   RGB, uint8, (3, H, W), until the model normalises them on the device
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from detection.transfer import on_host, to_device

Size = tuple[int, int]
"""(height, width) in pixels."""


def _check_boxes(boxes: Tensor, owner: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype != torch.float32:
        raise ValueError(f"{owner}: boxes must be (N, 4) float32, got {tuple(boxes.shape)} {boxes.dtype}")


@dataclass(frozen=True)
class Target:
    """What one image holds.

    boxes: (N, 4) float32; labels: (N,) int64; ignored: (M, 4) float32, regions (COCO crowds, VOC difficult objects)
    that are neither objects to learn nor background to sample.

    unjudged: (U,) int64, classes that were not annotated here: a region without an object may be one of them.
    background: whether an anchor that meets no object teaches the RPN that there is none.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    unjudged: Tensor | None = None
    background: bool = True

    def __post_init__(self) -> None:
        _check_boxes(self.boxes, "Target")
        _check_boxes(self.ignored, "Target.ignored")
        if self.labels.shape != (len(self.boxes),) or self.labels.dtype != torch.int64:
            raise ValueError(
                f"Target: labels must be ({len(self.boxes)},) int64, got {tuple(self.labels.shape)} {self.labels.dtype}"
            )

    def to(self, device: torch.device) -> Target:
        return self._with(lambda tensor: to_device(tensor, device))

    def pin_memory(self) -> Target:
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> Target:
        unjudged = None if self.unjudged is None else change(self.unjudged)
        return Target(change(self.boxes), change(self.labels), change(self.ignored), unjudged, self.background)


@dataclass(frozen=True)
class Sample:
    """One image ready for a batch.

    image: (3, H, W) uint8 after augmentation and resize; target: in the pixels of `image`, None where there are no
    annotations; original_size: size of the image as it is shown upright, before any change; index: row in the dataset;
    proposals: (P, 4) float32 in the pixels of `image`, None where the network proposes itself; seed: of the sampling of
    its anchors and regions; unreadable: files that it stands in for, and why.
    """

    image: Tensor
    target: Target | None
    original_size: Size
    index: int
    proposals: Tensor | None = None
    seed: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[0] != 3 or self.image.dtype != torch.uint8:
            raise ValueError(f"Sample: image must be (3, H, W) uint8, got {tuple(self.image.shape)} {self.image.dtype}")


@dataclass(frozen=True)
class Batch:
    """Images stacked top-left in one canvas.

    images: (B, 3, H, W) uint8, or float32 on the same 0..255 scale; what lies outside `sizes` is padding, which the
    model sets to zero after normalising. sizes, original_sizes: B of (height, width). indices: B dataset rows.
    targets, proposals: B, or None. seeds: B, of the sampling of anchors and regions, which so depends on the image and
    not on the rest of the batch; None draws from torch's own state. unreadable: files that others stand in for, why.
    """

    images: Tensor
    sizes: list[Size]
    original_sizes: list[Size]
    indices: list[int]
    targets: list[Target] | None = None
    proposals: list[Tensor] | None = None
    seeds: list[int] | None = None
    unreadable: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.images)
        if self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(f"Batch: images must be (B, 3, H, W), got {tuple(self.images.shape)}")
        if not (len(self.sizes) == len(self.original_sizes) == len(self.indices) == count):
            raise ValueError(f"Batch: {count} images need as many sizes, original sizes and indices")
        for name, given in (("targets", self.targets), ("lists of proposals", self.proposals), ("seeds", self.seeds)):
            if given is not None and len(given) != count:
                raise ValueError(f"Batch: {count} images but {len(given)} {name}")
        height, width = self.images.shape[-2:]
        for h, w in self.sizes:
            if h > height or w > width:
                raise ValueError(f"Batch: an image of {h}x{w} does not fit the canvas of {height}x{width}")

    def to(self, device: torch.device) -> Batch:
        targets = None if self.targets is None else [target.to(device) for target in self.targets]
        proposals = None if self.proposals is None else [to_device(boxes, device) for boxes in self.proposals]
        return replace(self, images=to_device(self.images, device), targets=targets, proposals=proposals)

    def pin_memory(self) -> Batch:
        targets = None if self.targets is None else [target.pin_memory() for target in self.targets]
        proposals = None if self.proposals is None else [boxes.pin_memory() for boxes in self.proposals]
        return replace(self, images=self.images.pin_memory(), targets=targets, proposals=proposals)


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    boxes: (N, 4) float32 in pixels of an image of `size`; scores: (N,) float32 in 0..1; labels: (N,) int64.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    size: Size

    def __post_init__(self) -> None:
        _check_boxes(self.boxes, "Detections")
        if not (len(self.boxes) == len(self.scores) == len(self.labels)):
            raise ValueError(
                f"Detections: {len(self.boxes)} boxes, {len(self.scores)} scores and {len(self.labels)} labels"
            )

    def to(self, device: torch.device | str) -> Detections:
        boxes, scores, labels = on_host(self.boxes, self.scores, self.labels)
        return Detections(boxes.to(device), scores.to(device), labels.to(device), self.size)

    def above(self, score: float | Sequence[float]) -> Detections:
        """Those whose score is at least `score`: one for all classes, or one for each label."""
        least = torch.tensor(score, dtype=self.scores.dtype)
        keep = self.scores >= (least[self.labels] if least.ndim else least)
        return Detections(self.boxes[keep], self.scores[keep], self.labels[keep], self.size)


def collate(samples: list[Sample], multiple: int = 1) -> Batch:
    """Stack samples into a canvas whose sides are multiples of `multiple`; the rest of the canvas is zero."""
    height = -(-max(s.image.shape[1] for s in samples) // multiple) * multiple
    width = -(-max(s.image.shape[2] for s in samples) // multiple) * multiple
    images = torch.zeros((len(samples), 3, height, width), dtype=torch.uint8)
    for canvas, sample in zip(images, samples):
        canvas[:, : sample.image.shape[1], : sample.image.shape[2]] = sample.image
    targets = [s.target for s in samples if s.target is not None]
    proposals = [s.proposals for s in samples if s.proposals is not None]
    return Batch(
        images=images,
        sizes=[(s.image.shape[1], s.image.shape[2]) for s in samples],
        original_sizes=[s.original_size for s in samples],
        indices=[s.index for s in samples],
        targets=targets if len(targets) == len(samples) else None,
        proposals=proposals if len(proposals) == len(samples) else None,
        seeds=[s.seed for s in samples],
        unreadable={name: why for s in samples for name, why in s.unreadable.items()},
    )
