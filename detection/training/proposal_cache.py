"""Proposals of a trained RPN for every image of a split, on disk, for a second stage that learns apart from it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from backbones.modes import in_mode
from detection import parallel
from detection.config.schema import InputConfig
from detection.data.dataset import DetectionDataset, loader
from detection.data.index import AnnotationIndex
from detection.data.order import EvaluationOrder
from detection.engine.hardware import loaders
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.geometry.boxes import clip, larger_than, rescale
from detection.model.faster_rcnn import FasterRCNN
from detection.model.proposals import ProposalLimits
from detection.progress import track

SMALLEST = 1.0
"""Pixels of the original image that both sides of a proposal have."""


@dataclass(frozen=True)
class SplitProposals:
    """Proposals by image, (P, 4) float32 in its original pixels, of the training and of the validation split; None
    where the network proposes itself, or there is no such split."""

    train: list[np.ndarray] | None
    val: list[np.ndarray] | None


def propose(
    model: FasterRCNN, index: AnnotationIndex, config: InputConfig, limits: ProposalLimits, device: torch.device
) -> list[np.ndarray]:
    """Of each image (P, 4) float32, best first, in its original pixels; on every rank the same.

    Every image is seen once, at the test size and not mirrored: a mirrored image takes the mirrored proposals.
    """
    order = EvaluationOrder(len(index), 1, config.test_short_side, parallel.rank(), parallel.world())
    dataset = DetectionDataset(index, config, training=False)
    batches = loader(dataset, order, loaders(config.workers, device), model.size_multiple, pin=device.type == "cuda")
    found = {}
    with in_mode(model, training=False), torch.inference_mode():
        for batch in track(batches, "proposing", len(batches)):
            moved = batch.to(device)
            proposals = model.propose(model.rpn(model.maps(moved)), moved, limits)
            for row, one, size, original in zip(batch.indices, proposals, batch.sizes, batch.original_sizes):
                in_original = clip(rescale(one.boxes, size, original), original)
                found[row] = in_original[larger_than(in_original, SMALLEST)].cpu().numpy()
    parts = parallel.gather(found)
    whole = {row: boxes for part in parts for row, boxes in part.items()}
    return [whole[row] for row in range(len(index))]


def save_proposals(path: Path, proposals: list[np.ndarray]) -> None:
    """Write them as one array with offsets; a reader finds all or nothing."""
    offsets = np.cumsum([0, *(len(boxes) for boxes in proposals)])
    buffer = io.BytesIO()
    np.savez(buffer, offsets=offsets, boxes=np.concatenate([np.empty((0, 4), np.float32), *proposals]))
    write_atomically(path, buffer.getvalue())


def load_proposals(path: Path, images: int) -> list[np.ndarray]:
    """Read them back. Raises `InputError` where the file is broken or of another number of images."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            offsets, boxes = stored["offsets"], stored["boxes"]
    except Exception as error:  # numpy and zipfile raise half a dozen unrelated types
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not readable proposals ({reason}); remove it to compute them again") from error
    whole = offsets.ndim == 1 and offsets.dtype.kind in "iu" and boxes.ndim == 2 and boxes.dtype == np.float32
    if (
        not whole
        or boxes.shape[1] != 4
        or not len(offsets)
        or (np.diff(offsets, prepend=0, append=len(boxes)) < 0).any()
    ):
        raise InputError(f"{path}: holds no boxes of images; remove it to compute them again")
    if len(offsets) != images + 1:
        raise InputError(
            f"{path}: holds proposals of {len(offsets) - 1} images, but the data has {images}; use another --output"
        )
    return [boxes[a:b] for a, b in zip(offsets[:-1], offsets[1:])]
