"""Faster R-CNN: data, model, training, evaluation and prediction.

    >>> import detection
    >>> detector = detection.load("runs/train/best.pt")
    >>> found = detector("photo.jpg")
    >>> found.boxes, found.scores, found.names

Importing this package imports nothing heavy: each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detection.api.evaluate import evaluate as evaluate
    from detection.api.hub import push as push
    from detection.api.load import LoadedDetector as LoadedDetector
    from detection.api.load import load as load
    from detection.api.prediction import Prediction as Prediction
    from detection.api.train import TrainedRun as TrainedRun
    from detection.api.train import train as train
    from detection.engine.callback import Callback as Callback
    from detection.errors import InputError as InputError

__version__ = "0.1.0"
__all__ = ["Callback", "InputError", "LoadedDetector", "Prediction", "TrainedRun", "evaluate", "load", "push", "train"]

_HOMES = {
    "Callback": "detection.engine.callback",
    "InputError": "detection.errors",
    "LoadedDetector": "detection.api.load",
    "Prediction": "detection.api.prediction",
    "TrainedRun": "detection.api.train",
    "evaluate": "detection.api.evaluate",
    "load": "detection.api.load",
    "push": "detection.api.hub",
    "train": "detection.api.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
