"""What `frcnn predict` makes of a batch once the network has seen it: pictures, crops and records."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from detection.data.slide import Slide
    from detection.predict.stream import Decoded
    from detection.records import Detections

LARGEST_DRAWN = 2000
"""Pixels of the longer side of a picture that is drawn of a whole slide."""


def finish_batch(
    args: argparse.Namespace,
    names: Mapping[Path, str],
    class_names: tuple[str, ...],
    batch: Decoded,
    found: Sequence[Detections],
) -> list[dict[str, Any]]:
    """Write the pictures and crops that `args` asks for; the record of each image that could be read. names: of the
    pictures."""
    from detection.predict.output import save_crops, to_records

    records = []
    for (path, pixels), some in zip(batch.pixels.items(), found):
        records.append(to_records(str(path), some, class_names))
        if not args.no_pictures:
            _draw(args.output / names[path], pixels, some, class_names)
        if args.crops:
            save_crops(args.output / "crops", Path(names[path]).stem, pixels, some, class_names)
    return records


def _draw(path: Path, image: np.ndarray | Slide, found: Detections, class_names: tuple[str, ...]) -> None:
    from detection.data.slide import Slide
    from detection.geometry.boxes import rescale
    from detection.predict.draw import draw
    from detection.predict.output import save_picture

    boxes = found.boxes
    if isinstance(image, Slide):
        share = min(LARGEST_DRAWN / max(found.size), 1.0)
        size = (max(round(found.size[0] * share), 1), max(round(found.size[1] * share), 1))
        image, boxes = image.reduced(size), rescale(boxes, found.size, size)
    save_picture(path, draw(image, boxes.numpy(), found.labels.numpy(), class_names, found.scores.numpy()))
