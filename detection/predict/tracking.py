"""Which detections of a video's frames are the same object, by norfair: Kalman filters that foresee where each object
will be, and the overlap of detections with that (as SORT does, Bewley et al. 2016)."""

from __future__ import annotations

import logging

from detection.errors import InputError
from detection.records import Detections

LEAST_IOU = 0.3
"""Of a detection with where its object was foreseen, as in SORT."""
MEMORY = 1.0
"""Seconds for which an object that is hidden keeps its number, at most; one that was just found, as long as it was
seen."""
VELOCITY_VARIANCE = 1e4
"""(pixels per frame)^2 at an object's first frame, when nothing is known of how it moves, as in SORT."""


def require_tracking() -> None:
    """Raise `InputError` where the library is missing."""
    try:
        import norfair  # noqa: F401
    except ImportError:
        raise InputError('--track needs a library: pip install "frcnn-toolkit[track]"') from None


class Tracker:
    """Numbers the objects of one video. rate: frames a second of those it is given."""

    def __init__(self, rate: float) -> None:
        import norfair
        from norfair.filter import OptimizedKalmanFilterFactory

        # it warns of each object that is foreseen to shrink away, which those that leave the picture are
        logging.getLogger("norfair").setLevel(logging.ERROR)
        self._norfair = norfair.Tracker(
            "iou",
            distance_threshold=1 - LEAST_IOU,
            hit_counter_max=max(round(MEMORY * rate), 2),
            initialization_delay=0,  # every detection has a number, the first one too
            past_detections_length=0,
            filter_factory=OptimizedKalmanFilterFactory(vel_variance=VELOCITY_VARIANCE),
        )

    def number(self, found: Detections) -> list[int]:
        """Of each detection of the next frame the number of its object, from 1; an object keeps its class."""
        import norfair

        corners, labels = found.boxes.double().numpy().reshape(-1, 2, 2), found.labels.tolist()
        given = [norfair.Detection(corners[k], data=k, label=label) for k, label in enumerate(labels)]
        numbers = [0] * len(labels)
        for item in self._norfair.update(given):
            if item.id and item.last_detection.age == item.age:  # others are only foreseen
                numbers[item.last_detection.data] = item.id
        return numbers
