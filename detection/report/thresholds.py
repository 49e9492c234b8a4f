"""From which score on a detection should be believed: precision, recall and F1 at every threshold, and the best one.

Detections are right at an IoU of .5, by COCO's matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.evaluation.bootstrap import ClassMatches


@dataclass(frozen=True)
class Curve:
    """At the D distinct scores of the detections, best first, how many score as much: `right` and in all, `reported`,
    (D,) each, without those that do not count. objects: that are to be found."""

    scores: np.ndarray
    right: np.ndarray
    reported: np.ndarray
    objects: int

    @property
    def precision(self) -> np.ndarray:
        """(D,) in 0..1."""
        return self.right / np.maximum(self.reported, 1)

    @property
    def recall(self) -> np.ndarray:
        """(D,) in 0..1."""
        return self.right / max(self.objects, 1)

    def fbeta(self, beta: float = 1.0) -> np.ndarray:
        """(D,): weighted harmonic mean of both; beta above 1 weighs recall more."""
        weight = beta**2
        total = weight * self.precision + self.recall
        return np.divide((1 + weight) * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True)
class Operation:
    """A detector that reports from `threshold` on. None: nothing is found at all, or nothing is there to find."""

    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None


NOTHING = Operation(None, None, None, None)


def curve(classes: Sequence[ClassMatches]) -> Curve:
    """Of one class, or of several together."""
    scores = np.concatenate([c.scores for c in classes]) if classes else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([c.right[0] for c in classes])[order] if classes else np.zeros(0, bool)
    counts = ~np.concatenate([c.ignored[0] for c in classes])[order] if classes else np.zeros(0, bool)
    scores, objects = scores[order], int(sum(c.objects.sum() for c in classes))
    found, seen = np.cumsum(right), np.cumsum(counts)
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])  # equal scores come together
    return Curve(scores[last], found[last], seen[last], objects)


def best(found: Curve, beta: float = 1.0) -> Operation:
    """The threshold with the highest F-beta; of equal ones the highest, which reports least."""
    if not found.objects or not len(found.scores) or not found.right[-1]:
        return NOTHING
    return at(found, float(found.scores[int(np.argmax(found.fbeta(beta)))]))


def at_cost(found: Curve, missed: float, false_alarm: float) -> Operation:
    """The threshold at which missed objects and false alarms, at what each costs, cost least together: just above all
    scores where reporting nothing costs less than reporting anything."""
    if not found.objects or not len(found.scores):
        return NOTHING
    cost = missed * (found.objects - found.right) + false_alarm * (found.reported - found.right)
    if missed * found.objects < cost.min():
        return at(found, float(np.nextafter(found.scores[0], np.inf)))
    return at(found, float(found.scores[int(np.argmin(cost))]))


def at(found: Curve, threshold: float) -> Operation:
    """What a threshold achieves; detections that score as much as it are reported."""
    if not found.objects:
        return NOTHING
    reported = int((found.scores >= threshold).sum())
    if not reported:
        return Operation(threshold, None, 0.0, 0.0)
    k = reported - 1
    return Operation(threshold, float(found.precision[k]), float(found.recall[k]), float(found.fbeta()[k]))
