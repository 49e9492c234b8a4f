"""All labelled images of a dataset as one index, and the part of it that each fold is tested on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detection.counted import counted
from detection.data.hold_out import index_fingerprints
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.fingerprints import drawn

SALTS = 256
"""Ways of parting that are compared."""


def joined(indices: list[AnnotationIndex]) -> AnnotationIndex:
    """The images of several splits, which have the same classes, one after the other. Where ids of images or
    annotations occur twice, all are numbered anew from 1."""
    if len(indices) == 1:
        return indices[0]
    first = indices[0]
    root = Path(os.path.commonpath([str(index.root.absolute()) for index in indices]))
    names = [str(index.path(i).absolute().relative_to(root)).encode() for index in indices for i in range(len(index))]
    columns: dict[str, Any] = {
        key: np.concatenate([getattr(index, key) for index in indices])
        for key in ("image_ids", "sizes", "xywh", "labels", "areas", "annotation_ids", "crowd", "difficult")
    }
    for key in ("image_ids", "annotation_ids"):
        if len(np.unique(columns[key])) < len(columns[key]):
            columns[key] = np.arange(1, len(columns[key]) + 1)
    counts = np.concatenate([np.diff(index.offsets) for index in indices])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return replace(first, root=root, file_names=np.array(names), offsets=offsets, **columns)


def fold_of(index: AnnotationIndex, folds: int) -> np.ndarray:
    """(N,) int64: the fold, from 0, that each image is tested in.

    The content of an image decides, so that copies fall into one fold; of many ways of parting, the one is taken whose
    folds have most nearly the same numbers of images and of objects of each class. Raises `InputError` where there are
    too few different images.
    """
    known = index_fingerprints(index)
    different = len(np.unique(known))
    if different < 2 * folds:
        raise InputError(
            f"--folds {folds}: {index.source} has {counted(different, 'different image')}; folds of two images or more "
            f"need {2 * folds}"
        )
    parts = [np.minimum((drawn(known, salt) * folds).astype(np.int64), folds - 1) for salt in range(SALTS)]
    best = min(parts, key=lambda part: _unevenness(index, part, folds))
    if not np.isfinite(_unevenness(index, best, folds)):
        raise InputError(f"--folds {folds}: {index.source} has too few images to fill each fold; give fewer folds")
    return best


def _unevenness(index: AnnotationIndex, part: np.ndarray, folds: int) -> float:
    """How far folds are from equal shares of the images and of each class's objects; infinite where one is empty, large
    where a class is in one fold alone, since nothing is left to learn it from."""
    images = np.bincount(part, minlength=folds)
    if not images.all():
        return float("inf")
    of_row = np.repeat(part, np.diff(index.offsets))
    objects = np.zeros((folds, len(index.class_names)))
    np.add.at(objects, (of_row, index.labels), 1)
    total = objects.sum(axis=0)
    there = total > 0
    shares = np.abs(objects[:, there] / total[there] - 1 / folds)
    alone = int((objects[:, there] == total[there]).any(axis=0).sum())
    uneven = 2 * float(np.abs(images / images.sum() - 1 / folds).sum())
    return uneven + (float(shares.sum(axis=0).mean()) if there.any() else 0.0) + 10.0 * alone
