"""How the training went: losses, AP and rate over its iterations, and what they say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RISEN = 1.1
"""A validation loss this much above its lowest is one that rises."""
FALLING = 0.98
"""A training loss that ends below this share of what it was at two thirds of the run is one that falls."""

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class History:
    """Each a list of (iteration, number); verdict: over- or underfitting in words, with the evidence; empty where
    neither shows."""

    training_loss: Points
    validation_loss: Points
    ap: Points
    rate: Points
    verdict: str


def read_history(folder: Path) -> History | None:
    """Of the run in `folder`, None where it has no metrics."""
    file = folder / "metrics.jsonl"
    if not file.exists():
        return None
    reports = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]

    def points(kind: str, name: str) -> Points:
        return [(r["iteration"], float(r[name])) for r in reports if r["kind"] == kind and r.get(name) is not None]

    training, validation, ap = points("train", "loss"), points("val", "loss"), points("val", "AP")
    return History(training, validation, ap, points("train", "lr"), _verdict(training, validation, ap))


def _verdict(training: Points, validation: Points, ap: Points) -> str:
    if len(validation) >= 3 and len(ap) >= 3:
        at, lowest = min(validation, key=lambda point: point[1])
        last = validation[-1][1]
        best_at, best = max(ap, key=lambda point: point[1])
        if last > RISEN * lowest and best > ap[-1][1]:
            return (
                f"It overfits: the validation loss rose from {lowest:.3f} at iteration {at} to {last:.3f}, and AP fell "
                f"from {100 * best:.1f} at iteration {best_at} to {100 * ap[-1][1]:.1f}. Train shorter, augment more, "
                "or add images."
            )
        if best_at == ap[-1][0] and len(training) >= 6:
            before = training[2 * len(training) // 3][1]
            if training[-1][1] < FALLING * before and ap[-1][1] > ap[-2][1]:
                return (
                    f"It has not finished learning: AP was best at the last of {len(ap)} evaluations "
                    f"({100 * ap[-2][1]:.1f}, then {100 * ap[-1][1]:.1f}) and the training loss still fell "
                    f"({before:.3f} to {training[-1][1]:.3f} in the last third). Train longer."
                )
    return ""


def as_json(history: History | None) -> dict[str, Any] | None:
    return None if history is None else dict(vars(history))
