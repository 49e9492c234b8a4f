"""`detection.evaluate`: the numbers of `frcnn evaluate` for programs."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

from detection.api.load import LoadedDetector, as_loaded
from detection.data.image import read_image
from detection.errors import InputError
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.report import to_json
from detection.evaluation.results import ground_truth, to_results
from detection.export.graph_detector import GraphDetector
from detection.loading.datasets import load_split
from detection.predict.tiles import TiledDetector
from detection.progress import track
from detection.training.validation import evaluate_detector


def evaluate(
    detector: LoadedDetector | Path | str,
    data: Path | str | None = None,
    split: str | None = None,
    *,
    batch: int = 1,
    workers: int | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """COCO's 12 numbers and those of each class, as `frcnn evaluate` writes them into evaluation.json.

    detector: from `load`, or the file; data: a dataset, default the one it was trained on; split: default its
    validation split; batch: images at once, of which padding makes results depend a little; workers: processes that
    load images. Raises `InputError` for data that cannot be read or has other classes.

        >>> numbers = detection.evaluate("runs/train/best.pt", data="shapes")
        >>> numbers["stats"]["AP50"]
    """
    for name, value, least in (("batch", batch, 1), ("workers", workers, 0)):
        if value is not None and not (isinstance(value, Integral) and value >= least):
            raise InputError(f"{name}: {value!r} is not a whole number from {least} on")
    loaded = as_loaded(detector, device)
    config = loaded.config if data is None else replace(loaded.config, data=str(data))
    index, _ = load_split(config, split or config.dataset.val or "val", loaded.class_names)
    serving = loaded.serving
    plain = serving.detector if isinstance(serving, TiledDetector) else serving
    if isinstance(plain, GraphDetector):
        rows = track(range(len(index)), "evaluating", len(index))
        found = [serving([read_image(index.path(row), serving.grey_bits)])[0] for row in rows]
        return to_json(evaluate_coco(ground_truth(index), to_results(found, index, list(range(len(index))))))
    return to_json(evaluate_detector(plain, index, config, batch, workers).result)
