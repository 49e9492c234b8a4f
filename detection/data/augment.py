"""Augmentation: an albumentations pipeline declared as a list of names with arguments."""

from __future__ import annotations

import difflib
import os
import warnings
from typing import Any

import numpy as np

from detection.errors import InputError


class Augmentation:
    """albumentations transforms applied to an image and its boxes, reproducible from a seed.

    Args:
        transforms: in order, each a dict with the transform's `name` and its arguments.
        min_visibility: a box is dropped when less than this share of its area stays in the picture.

    Raises `InputError` naming the item when a transform is unknown or does not accept its arguments.
    """

    def __init__(self, transforms: list[dict[str, Any]], min_visibility: float = 0.0) -> None:
        self._pipeline = None
        if not transforms:
            return
        # The library asks the network for its newest version on import unless told not to; import is slow, so late.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        steps = [_transform(albumentations, i, dict(spec)) for i, spec in enumerate(transforms)]
        self._only_flips = all(type(step) is albumentations.HorizontalFlip for step in steps)
        if self._only_flips:  # the library's rounds over the boxes would take longer than all else
            self._pipeline = albumentations.Compose(steps, save_applied_params=True)
            return
        boxes = albumentations.BboxParams(
            format="pascal_voc", label_fields=["rows"], clip=True, min_visibility=min_visibility
        )
        self._pipeline = albumentations.Compose(steps, bbox_params=boxes)

    def __call__(self, image: np.ndarray, boxes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The changed image, the boxes that stay, and their rows among those given.

        image (H, W, 3) uint8; boxes (N, 4) float32 x1 y1 x2 y2 inside the image, with positive sides.
        """
        if self._pipeline is None:
            return image, boxes, np.arange(len(boxes))
        import cv2  # comes with albumentations, and is as slow to import

        self._pipeline.set_random_seed(seed)
        if self._only_flips:
            done = self._pipeline(image=image)
            return (
                done["image"],
                _flipped(boxes, image.shape[1], len(done["applied_transforms"])),
                np.arange(len(boxes)),
            )
        cv2.setRNGSeed(seed & 0x7FFFFFFF)  # its Gaussian noise draws from OpenCV's global state instead
        done = self._pipeline(image=image, bboxes=boxes, rows=np.arange(len(boxes)))
        changed = np.asarray(done["bboxes"], dtype=np.float32).reshape(-1, 4)
        return done["image"], changed, np.asarray(done["rows"], dtype=np.int64)


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
        reason = " ".join(str(error).split())
        raise InputError(f"{key}: {name} does not accept {spec}: {reason}") from error
