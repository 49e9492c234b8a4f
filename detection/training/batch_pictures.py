"""The first batches of a training as the network sees them, after augmentation: whether boxes still sit on objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.engine.callback import Callback
from detection.engine.metric_files import writing
from detection.predict.draw import contact_sheet, draw
from detection.predict.output import save_picture
from detection.records import Batch

BATCHES = 3
IMAGES, COLUMNS = 8, 4
"""Images of a batch at most, and in a row."""
NAME = "training batch"
"""In TensorBoard."""


def batch_picture(batch: Batch, class_names: Sequence[str]) -> np.ndarray:
    """(H, W, 3) uint8: the images of a batch with the boxes that are learned from."""
    drawn = []
    for image, (height, width), target in list(zip(batch.images, batch.sizes, batch.targets or ()))[:IMAGES]:
        pixels = image[:, :height, :width].permute(1, 2, 0).clamp(0, 255).round().byte().cpu().numpy()
        boxes, labels = target.boxes.cpu().numpy(), target.labels.cpu().numpy()
        drawn.append(draw(np.ascontiguousarray(pixels), boxes, labels, class_names))
    return contact_sheet([drawn[k : k + COLUMNS] for k in range(0, len(drawn), COLUMNS)])


class BatchFiles(Callback):
    """The pictures of the first batches as `FOLDER/1.jpg` and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_picture(self, name: str, iteration: int, picture: np.ndarray) -> None:
        if name == NAME:
            with writing(self.folder):
                self.folder.mkdir(exist_ok=True)
            save_picture(self.folder / f"{iteration + 1}.jpg", picture)
