"""What a detector found in one image, for programs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detection.counted import counted
from detection.errors import InputError
from detection.records import Detections


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The objects in one image, best first.

    image: (H, W, 3) uint8 RGB, upright; boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of it; scores: (N,) float32 in
    0..1; labels: (N,) int64, places in `class_names`; class_names: of the detector.

        >>> found = detector("photo.jpg").above(0.5)
        >>> for box, name, score in zip(found.boxes, found.names, found.scores):
        ...     print(name, round(float(score), 2), box.tolist())
        >>> found.save("out.jpg")
    """

    image: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, image: np.ndarray, found: Detections, class_names: tuple[str, ...]) -> Prediction:
        boxes, scores, labels = (part.cpu().numpy() for part in (found.boxes, found.scores, found.labels))
        return cls(image, boxes, scores, labels, class_names)

    def __repr__(self) -> str:
        counts = Counter(self.names).most_common()
        found = ", ".join(f"{count} {name}" for name, count in counts[:5]) + (", ..." if len(counts) > 5 else "")
        height, width = self.image.shape[:2]
        return f"Prediction({counted(len(self), 'object')} in {width}x{height} pixels{': ' * bool(found)}{found})"

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def names(self) -> tuple[str, ...]:
        """The class name of each object."""
        return tuple(self.class_names[label] for label in self.labels.tolist())

    def above(self, score: float) -> Prediction:
        """Those whose score is at least `score`. Raises `InputError` where it is not in 0..1."""
        keep = self.scores >= checked_score(score)
        return Prediction(self.image, self.boxes[keep], self.scores[keep], self.labels[keep], self.class_names)

    def draw(self) -> np.ndarray:
        """(H, W, 3) uint8: a copy of the image with each box, its class and its score."""
        from detection.predict.draw import draw

        return draw(self.image, self.boxes, self.labels, self.class_names, self.scores)

    def save(self, path: Path | str) -> None:
        """Write `draw()`, as JPEG or PNG by the name. Raises `InputError` where it cannot be written."""
        from detection.predict.output import save_picture

        save_picture(path, self.draw())

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO results, a dict each object, with the box as x, y, width, height. category_ids: of the classes in label
        order; default 1 to K. Raises `InputError` where there are not as many ids as classes."""
        ids = range(1, len(self.class_names) + 1) if category_ids is None else category_ids
        if len(ids) != len(self.class_names):
            raise InputError(
                f"category_ids: got {len(ids)} for {counted(len(self.class_names), 'class')}; give one for each"
            )
        x1, y1, x2, y2 = self.boxes.astype(np.float64).round(3).T
        boxes = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).round(3).tolist()
        return [
            {"image_id": image_id, "category_id": int(ids[label]), "bbox": box, "score": float(str(score))}
            for label, box, score in zip(self.labels.tolist(), boxes, self.scores, strict=True)
        ]

    def to_dataframe(self) -> Any:
        """A pandas.DataFrame with the columns x1, y1, x2, y2, score, label and name."""
        columns = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        others = {"score": self.scores, "label": self.labels, "name": list(self.names)}
        return _library("pandas").DataFrame({**columns, **others})

    def to_supervision(self) -> Any:
        """A supervision.Detections, with the class names under data["class_name"]."""
        names = {"class_name": np.array(self.names, dtype=str)}
        kind = _library("supervision").Detections
        return kind(xyxy=self.boxes, confidence=self.scores, class_id=self.labels, data=names)


def checked_score(score: Any) -> float:
    """A threshold of scores. Raises `InputError` for what is no number in 0..1."""
    try:
        value = float(score)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= 1:
        raise InputError(f"score: {score!r} is not a number from 0 to 1")
    return value


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed; pip install {name}") from error
