"""What a report costs: an evaluation with and without it, and the page of 5,000 images."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Table, alternate
from detection.data.index import AnnotationIndex
from detection.evaluation.results import write_results
from detection.experiments.report import Report
from detection.loading.datasets import load_split
from detection.loading.detectors import load_detector
from detection.predict.prepare import prepare
from detection.report.page import Subject
from detection.report.run import write
from detection.report.traced import passages_in
from detection.training.validation import DetectorEvaluation, evaluate_detector


def measure(run: str, images: int, device: str, rounds: int, command: list[str]) -> Report:
    """run: the folder of a trained detector, whose validation split is looked at; images: of the large page."""
    detector, config = load_detector(Path(run) / "best.pt", torch.device(device))
    detector = replace(detector, model=prepare(detector.model))
    index, _ = load_split(config, config.dataset.val or "val", detector.class_names)
    watch = passages_in(index, config.model.rpn.negative_iou)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def plain() -> DetectorEvaluation:
            found = evaluate_detector(detector, index, config, workers=0, pictures=8)
            write_results(folder / "predictions.json", found.results)
            return found

        def reported() -> DetectorEvaluation:
            found = evaluate_detector(detector, index, config, workers=0, pictures=8, watch=watch)
            write_results(folder / "predictions.json", found.results)
            write(found, index, Subject("", "", ""), Path(run), folder)
            return found

        seconds = alternate({"evaluation": plain, "with the report": reported}, rounds)
        small = (folder / "report.html").stat().st_size / 2**20
        found, large = reported(), repeated(index, images)
        times = -(-len(large) // len(index))
        seen = {turn * len(index) + row: own for turn in range(times) for row, own in found.seen.items()}
        many = replace(found, results=_again(found.results, index, large, times), seen=seen)
        began = time.perf_counter()
        write(many, large, Subject("", "", ""), Path(run), folder)
        taken, page = time.perf_counter() - began, (folder / "report.html").stat().st_size / 2**20
    table = Table("evaluation", unit="s")
    table.add(f"{len(index)} images", seconds)
    share = [b / a for a, b in zip(seconds["evaluation"], seconds["with the report"])]
    text = f"""{table.text()}

The report makes an evaluation take {statistics.median(share):.2f} times as long ({min(share):.2f} to {max(share):.2f}).
Its page has {small:.1f} MiB. The page of {len(large)} images, the same ones again and again, is made in {taken:.1f} s
and has {page:.1f} MiB."""
    numbers = {"time": table.numbers, "times_as_long": share, "page_mib": small}
    numbers |= {"large_seconds": taken, "large_mib": page}
    return Report("benchmark_report", "What a report costs", command, numbers, text, {})


def repeated(index: AnnotationIndex, images: int) -> AnnotationIndex:
    """The images of an index again and again, with ids of their own."""
    times = -(-images // len(index))
    counts = np.tile(np.diff(index.offsets), times)
    per_image, per_object = ("file_names", "sizes"), ("xywh", "labels", "areas", "crowd", "difficult")
    again: dict[str, Any] = {n: np.concatenate([getattr(index, n)] * times) for n in (*per_image, *per_object)}
    return replace(
        index,
        **again,
        image_ids=np.arange(1, len(index) * times + 1),
        annotation_ids=np.arange(1, len(index.labels) * times + 1),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def _again(results: list[dict[str, Any]], index: AnnotationIndex, large: AnnotationIndex, times: int) -> list[Any]:
    row_of = {int(image): row for row, image in enumerate(index.image_ids)}
    return [
        {**result, "image_id": int(large.image_ids[turn * len(index) + row_of[result["image_id"]]])}
        for turn in range(times)
        for result in results
    ]
