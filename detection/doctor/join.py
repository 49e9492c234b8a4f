"""Several datasets, or splits of one, as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.data.index import AnnotationIndex


def joined(indices: Sequence[AnnotationIndex], names: tuple[str, ...]) -> AnnotationIndex:
    """One index of all images, in the order given, with the classes `names`, which hold those of each.

    File names start from the folder that all images share, so that no two are one; ids of images, annotations and
    categories count from 1, since those of two datasets are each other's.
    """
    paths = [os.path.abspath(index.path(row)) for index in indices for row in range(len(index))]
    folders = {os.path.dirname(path) for path in paths}
    root = os.path.commonpath(folders) if folders else os.path.abspath(indices[0].root)
    indices = [index.in_classes(names) for index in indices]
    counts = np.concatenate([np.diff(index.offsets) for index in indices])

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(index, name) for index in indices])

    return AnnotationIndex(
        root=Path(root),
        source=indices[0].source if len(indices) == 1 else Path(root),
        class_names=names,
        category_ids=np.arange(1, len(names) + 1, dtype=np.int64),
        image_ids=np.arange(1, len(paths) + 1, dtype=np.int64),
        file_names=np.array([os.path.relpath(path, root).replace(os.sep, "/").encode() for path in paths], np.bytes_),
        sizes=column("sizes"),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        xywh=column("xywh"),
        labels=column("labels"),
        areas=column("areas"),
        annotation_ids=np.arange(1, int(counts.sum()) + 1, dtype=np.int64),
        crowd=column("crowd"),
        difficult=column("difficult"),
    )


def union_of_classes(indices: Sequence[AnnotationIndex]) -> tuple[str, ...]:
    """The names of all, each once, in the order they come up."""
    return tuple(dict.fromkeys(name for index in indices for name in index.class_names))
