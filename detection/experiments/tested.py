"""Detectors of checkpoints run over a split once: what they find and how long an image takes, kept on the disk."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from detection.counted import counted
from detection.data.image import read_image
from detection.data.index import AnnotationIndex
from detection.evaluation.results import read_results, to_results, write_results
from detection.files.atomic import write_atomically
from detection.loading.detectors import load_detector
from detection.predict.improved import ImprovedDetector, Improvements
from detection.progress import track


@dataclass(frozen=True)
class Tested:
    """file: of the results; results: in COCO's format; milliseconds: median of an image."""

    file: Path
    results: list[dict[str, Any]]
    milliseconds: float


def is_tested(checkpoints: list[Path], file: Path) -> bool:
    """Whether `file` holds what these detectors find: it does not where one was trained anew since."""
    newest = max((path.stat().st_mtime for path in checkpoints if path.exists()), default=0.0)
    return _timing(file).exists() and _timing(file).stat().st_mtime >= newest


def _timing(file: Path) -> Path:
    return file.with_name(f"{file.stem}_time.json")


def detect_once(
    name: str,
    checkpoints: list[Path],
    improvements: Improvements,
    index: AnnotationIndex,
    file: Path,
    device: torch.device,
    say: Callable[[str], None],
) -> Tested:
    """The detections of one detector, or of an ensemble, from `file` unless a checkpoint is newer than it.

    The time lies beside it in NAME_time.json, which is written last.
    """
    timing = _timing(file)
    if not is_tested(checkpoints, file):
        say(f"{name}: testing on {counted(len(index), 'image')}")
        found, seconds = _run(checkpoints, improvements, index, device)
        write_results(file, found)
        write_atomically(timing, json.dumps({"milliseconds": 1000 * statistics.median(seconds)}).encode())
    return Tested(file, read_results(file), json.loads(timing.read_text())["milliseconds"])


def _run(
    checkpoints: list[Path], improvements: Improvements, index: AnnotationIndex, device: torch.device
) -> tuple[list[dict[str, Any]], list[float]]:
    improved = ImprovedDetector([load_detector(path, device)[0] for path in checkpoints], improvements)
    results, seconds = [], []
    for i in track(range(len(index)), "testing", len(index)):
        image = read_image(index.path(i), improved.grey_bits)
        began = time.perf_counter()
        found = improved([image])
        seconds.append(time.perf_counter() - began)
        results += to_results(found, index, [i])
    return results, seconds
