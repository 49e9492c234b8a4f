"""Augmentation: an albumentations pipeline declared as a list of names with arguments."""

from __future__ import annotations

import copy
import difflib
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.errors import InputError

TRIALS = 8
"""Draws of the whole pipeline in a trial, beside one in which every transform is certain."""

FIXED = "the model takes uint8 pixels and normalises by itself; leave it out"


@dataclass(frozen=True)
class Augmented:
    """image: (H, W, 3) uint8; boxes: (M, 4) float32, those of which anything is left; rows: (M,) int64, where they were
    among the given ones; whole: (M,) bool, those of which enough is left to count as objects."""

    image: np.ndarray
    boxes: np.ndarray
    rows: np.ndarray
    whole: np.ndarray


class Augmentation:
    """albumentations transforms applied to an image and its boxes, reproducible from a seed.

    Args:
        transforms: in order, each a dict with the transform's `name` and its arguments.
        min_visibility: a box of which less than this share of its area stays in the picture is not whole.

    Raises `InputError` naming the item when a transform is unknown or does not accept its arguments.
    """

    def __init__(self, transforms: list[dict[str, Any]], min_visibility: float = 0.0) -> None:
        self._steps: list[Any] = []
        self._pipelines: dict[float, Any] = {}
        self.min_visibility = min_visibility
        self._only_flips = False
        if not transforms:
            return
        # The library asks the network for its newest version on import unless told not to; import is slow, so late.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        self._steps = [_transform(albumentations, i, dict(spec)) for i, spec in enumerate(transforms)]
        self._only_flips = all(type(step) is albumentations.HorizontalFlip for step in self._steps)
        if self._only_flips:  # the library's rounds over the boxes would take longer than all else
            self._pipelines = {0.0: albumentations.Compose(self._steps, save_applied_params=True)}
            return
        for least in {0.0, min_visibility}:
            self._pipelines[least] = _compose(self._steps, least)

    def __call__(self, image: np.ndarray, boxes: np.ndarray, seed: int) -> Augmented:
        """image (H, W, 3) uint8; boxes (N, 4) float32 x1 y1 x2 y2 inside the image, with positive sides.

        Raises `InputError` that names the transform which fails, or makes anything else than uint8 (H, W, 3).
        """
        if not self._steps:
            return _all(image, boxes)
        if self._only_flips:
            pipeline = self._pipelines[0.0]
            pipeline.set_random_seed(seed)
            done = pipeline(image=image)
            return _all(done["image"], _flipped(boxes, image.shape[1], len(done["applied_transforms"])))
        try:
            changed, kept, rows = _run(self._pipelines[self.min_visibility], image, boxes, seed)
            if len(rows) == len(boxes):
                return Augmented(changed, kept, rows, np.ones(len(rows), dtype=bool))
            # Something was lost: the same draw again tells of what a little is left.
            changed, kept, some = _run(self._pipelines[0.0], image, boxes, seed)
        except Exception as error:  # the library's transforms raise whatever they run into
            raise InputError(_fault(self._steps, image, boxes, seed, error)) from error
        return Augmented(changed, kept, some, np.isin(some, rows))

    def try_out(self, image: np.ndarray, boxes: np.ndarray) -> None:
        """Raise `InputError` where the pipeline cannot work on this image: once with every transform applied for
        certain, and a few times as it is drawn."""
        if self._only_flips or not self._steps:
            return
        certain = copy.deepcopy(self._steps)
        for step in certain:
            step.p = 1.0
        try:
            _run(_compose(certain, 0.0), image, boxes, 0)
        except Exception as error:
            raise InputError(_fault(certain, image, boxes, 0, error)) from error
        for seed in range(TRIALS):
            self(image, boxes, seed)


def _compose(steps: list[Any], min_visibility: float) -> Any:
    import albumentations

    params = albumentations.BboxParams(
        format="pascal_voc", label_fields=["rows"], clip=True, min_visibility=min_visibility
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that transforms of pixels alone leave boxes as they are
        return albumentations.Compose(steps, bbox_params=params)


def _run(pipeline: Any, image: np.ndarray, boxes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, boxes and their rows. Raises TypeError where the result is no longer an image of uint8."""
    import cv2  # comes with albumentations, and is as slow to import

    pipeline.set_random_seed(seed)
    cv2.setRNGSeed(seed & 0x7FFFFFFF)  # the library's Gaussian noise draws from OpenCV's global state instead
    done = pipeline(image=image, bboxes=boxes, rows=np.arange(len(boxes)))
    changed = done["image"]
    if not isinstance(changed, np.ndarray) or changed.dtype != np.uint8:
        kind = changed.dtype if isinstance(changed, np.ndarray) else type(changed).__name__
        raise TypeError(f"makes {kind} of uint8 pixels, but {FIXED}")
    if changed.ndim != 3 or changed.shape[2] != 3:
        raise TypeError(f"makes an array of shape {changed.shape}, but the model takes (H, W, 3); leave it out")
    kept = np.asarray(done["bboxes"], dtype=np.float32).reshape(-1, 4)
    return changed, kept, np.asarray(done["rows"], dtype=np.int64)


def _all(image: np.ndarray, boxes: np.ndarray) -> Augmented:
    return Augmented(image, boxes, np.arange(len(boxes)), np.ones(len(boxes), dtype=bool))


def _fault(steps: list[Any], image: np.ndarray, boxes: np.ndarray, seed: int, error: Exception) -> str:
    """The line for the first transform after which the pipeline fails."""
    for position, step in enumerate(steps):
        try:
            _run(_compose(steps[: position + 1], 0.0), image, boxes, seed)
        except Exception as fault:
            return f"input.augment[{position}]: {type(step).__name__}: {_one_line(fault)}"
    return f"input.augment: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _flipped(boxes: np.ndarray, width: int, times: int) -> np.ndarray:
    if times % 2 == 0:
        return boxes
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = width - boxes[:, [2, 0]]
    return mirrored


def _transform(library: Any, position: int, spec: dict[str, Any]) -> Any:
    key, name = f"input.augment[{position}]", str(spec.pop("name", ""))
    kind = getattr(library, name, None)
    if not (isinstance(kind, type) and issubclass(kind, library.BasicTransform)):
        near = difflib.get_close_matches(name, dir(library), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"{key}: albumentations has no transform {name!r}{hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the library only warns of an argument it does not know
            return kind(**spec)
    except Exception as error:  # pydantic's, the library's own and TypeError share no base class
        raise InputError(f"{key}: {name} does not accept {spec}: {_one_line(error)}") from error
