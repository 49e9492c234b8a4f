"""The annotation index: a dataset as flat numpy arrays.

Each format file reads into it, and coco.py, voc.py and yolo.py write from it. Arrays are shared by forked workers
without being copied, since no Python object in them has a reference count to touch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from detection.errors import InputError


@dataclass(frozen=True)
class AnnotationIndex:
    """N images with M annotations of K classes; the annotations of image i are rows offsets[i]:offsets[i + 1].

    Boxes are kept losslessly as the COCO format has them, x y width height in float64, so that evaluation sees the
    very numbers of the file; `boxes()` gives the float32 corners that everything else uses.
    """

    root: Path
    """folder that the file names start from"""
    source: Path
    """file or folder the annotations came from, for messages"""
    class_names: tuple[str, ...]
    category_ids: np.ndarray
    """(K,) int64: the dataset's own id of each class"""
    image_ids: np.ndarray
    """(N,) int64: the dataset's own ids"""
    file_names: np.ndarray
    """(N,) bytes, UTF-8, relative to root"""
    sizes: np.ndarray
    """(N, 2) int32: height, width, upright"""
    offsets: np.ndarray
    """(N + 1,) int64"""
    xywh: np.ndarray
    """(M, 4) float64: x, y, width, height in pixels, as annotated"""
    labels: np.ndarray
    """(M,) int64: 0..K-1"""
    areas: np.ndarray
    """(M,) float64: COCO's `area` (of the mask where there is one), which decides small, medium or large"""
    annotation_ids: np.ndarray
    """(M,) int64"""
    crowd: np.ndarray
    """(M,) bool: COCO's iscrowd"""
    difficult: np.ndarray
    """(M,) bool: VOC's difficult"""
    unjudged: np.ndarray | None = None
    """(N, K) bool: classes that were not annotated in an image, so that nothing follows from there being no box; None:
    all were"""
    notes: tuple[str, ...] = ()
    """how the files were read, a line for each thing that a user should know: what was found, and each tolerance"""

    def __post_init__(self) -> None:
        images, rows = len(self.image_ids), len(self.xywh)
        assert self.file_names.shape == (images,) and self.sizes.shape == (images, 2), "one name and size an image"
        assert self.offsets.shape == (images + 1,) and self.offsets[-1] == rows, "offsets must end at the last row"
        for name in ("labels", "areas", "annotation_ids", "crowd", "difficult"):
            assert getattr(self, name).shape == (rows,), f"{name}: one value an annotation"
        assert len(self.class_names) == len(self.category_ids), "one name a category"
        shape = (images, len(self.class_names))
        assert self.unjudged is None or self.unjudged.shape == shape, "unjudged: one value an image and class"

    def __len__(self) -> int:
        return len(self.image_ids)

    def path(self, i: int) -> Path:
        return self.root / self.file_names[i].decode()

    def stems(self) -> list[str]:
        """The file name of each image without folder and extension; InputError where two images share one."""
        stems = [PurePosixPath(name.decode()).stem for name in self.file_names.tolist()]
        if len(set(stems)) < len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise InputError(
                f"{self.source}: two images are both named {twice!r}; rename one, their labels would clash"
            )
        return stems

    def rows(self, i: int) -> slice:
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def boxes(self, i: int) -> np.ndarray:
        """(n, 4) float32 x1 y1 x2 y2 of image i."""
        xywh = self.xywh[self.rows(i)]
        return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)

    def in_classes(self, names: tuple[str, ...]) -> AnnotationIndex:
        """The same with the classes `names`, in that order: each keeps its id, and one that is not here gets an id that
        none has. Raises InputError where objects are of a class that `names` lacks, or two classes share a name."""
        if self.class_names == names:
            return self
        own = {name: k for k, name in enumerate(self.class_names)}
        used = {self.class_names[k] for k in np.unique(self.labels).tolist()}
        if len(own) < len(self.class_names) or not used <= set(names):
            raise InputError(
                f"{self.source}: has the classes {_brief(self.class_names)}, but {_brief(names)} are needed; "
                "name the classes alike"
            )
        place = np.array([names.index(name) if name in names else -1 for name in self.class_names], dtype=np.int64)
        free = int(self.category_ids.max(initial=0)) + 1
        lacking = {name: free + k for k, name in enumerate(name for name in names if name not in own)}
        ids = [lacking[name] if name in lacking else int(self.category_ids[own[name]]) for name in names]
        labels = place[self.labels] if len(place) else self.labels
        unjudged = None
        if self.unjudged is not None:
            unjudged = np.zeros((len(self), len(names)), dtype=bool)
            unjudged[:, place[place >= 0]] = self.unjudged[:, place >= 0]
        ids_of_names = np.array(ids, dtype=np.int64)
        return replace(self, class_names=names, category_ids=ids_of_names, labels=labels, unjudged=unjudged)

    def unjudged_rows(self) -> np.ndarray:
        """(M,) bool: annotations of classes that were not annotated throughout their image."""
        if self.unjudged is None:
            return np.zeros(len(self.labels), dtype=bool)
        return self.unjudged[np.repeat(np.arange(len(self)), np.diff(self.offsets)), self.labels]

    def scored(self) -> AnnotationIndex:
        """The same to be evaluated on: what `unjudged_rows` are need not be found, like crowds."""
        return self if self.unjudged is None else replace(self, crowd=self.crowd | self.unjudged_rows())

    def select_images(self, keep: np.ndarray) -> AnnotationIndex:
        """The index of the images `keep` (row numbers, in the given order) with their annotations."""
        keep = np.asarray(keep, dtype=np.int64)
        counts = np.diff(self.offsets)[keep]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        starts = np.repeat(self.offsets[keep] - offsets[:-1], counts)
        rows = starts + np.arange(offsets[-1])
        images: dict[str, Any] = {name: getattr(self, name)[keep] for name in ("image_ids", "file_names", "sizes")}
        unjudged = None if self.unjudged is None else self.unjudged[keep]
        return replace(self, offsets=offsets, unjudged=unjudged, **images, **self._annotation_rows(rows))

    def select_annotations(self, keep: np.ndarray) -> AnnotationIndex:
        """The same images with only the annotations where `keep` (M,) bool is true."""
        image_of_row = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        counts = np.bincount(image_of_row[keep], minlength=len(self))
        return replace(self, offsets=np.concatenate([[0], np.cumsum(counts)]), **self._annotation_rows(keep))

    def _annotation_rows(self, rows: np.ndarray) -> dict[str, Any]:
        names = ("xywh", "labels", "areas", "annotation_ids", "crowd", "difficult")
        return {name: getattr(self, name)[rows] for name in names}


def _brief(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:6])}, ... ({len(names)})"
