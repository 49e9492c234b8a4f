"""COCO evaluation of a validation split against pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Table, alternate
from detection.data.index import AnnotationIndex
from detection.evaluation.coco_ap import STAT_NAMES, evaluate_coco
from detection.evaluation.results import ground_truth, to_results
from detection.experiments.report import Report
from detection.markdown import markdown_table
from detection.records import Detections

CLASSES, OBJECTS, CROWDS = 80, 7.36, 0.012
"""As COCO val2017 has them: classes, objects an image, and the share of them that are crowd regions."""
HEIGHT, WIDTH = 480, 640


def split(images: int, seed: int = 0) -> AnnotationIndex:
    """A made-up annotated split, with ids as COCO has them: not in order and with gaps."""
    random = np.random.default_rng(seed)
    counts = random.poisson(OBJECTS, images)
    objects = int(counts.sum())
    xywh = _boxes(random, objects)
    return AnnotationIndex(
        root=Path("."),
        source=Path("instances.json"),
        class_names=tuple(f"class {k}" for k in range(CLASSES)),
        category_ids=np.sort(random.choice(90, CLASSES, replace=False)) + 1,
        image_ids=random.choice(600_000, images, replace=False),
        file_names=np.array([f"{k:012d}.jpg" for k in range(images)], dtype=np.bytes_),
        sizes=np.tile(np.array([[HEIGHT, WIDTH]], dtype=np.int32), (images, 1)),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        xywh=xywh,
        labels=_labels(random, objects),
        areas=(xywh[:, 2] * xywh[:, 3] * random.uniform(0.3, 0.9, objects)).round(4),
        annotation_ids=random.permutation(objects) + 1,
        crowd=random.random(objects) < CROWDS,
        difficult=np.zeros(objects, dtype=bool),
    )


def detections(index: AnnotationIndex, each: int, seed: int = 1) -> list[Detections]:
    """`each` an image: every object found up to three times, moved a little and sometimes taken for another class, and
    boxes of nothing with lower scores."""
    random = np.random.default_rng(seed)
    found = []
    for row in range(len(index)):
        rows = np.tile(np.arange(*index.offsets[row : row + 2]), 3)[:each]
        moved = index.xywh[rows] * np.array([1, 1, 0, 0]) + random.normal(0, 0.08, (len(rows), 4)) * np.tile(
            index.xywh[rows, 2:], 2
        )
        moved[:, 2:] += index.xywh[rows, 2:]
        labels = np.where(random.random(len(rows)) < 0.9, index.labels[rows], _labels(random, len(rows)))
        others = each - len(rows)
        xywh = np.concatenate([moved, _boxes(random, others)])
        scores = np.concatenate([random.beta(4, 2, len(rows)), 0.05 + 0.5 * random.beta(1, 6, others)])
        order = np.argsort(-scores)
        corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:].clip(1)], axis=1)[order]
        classes = np.concatenate([labels, _labels(random, others)])[order]
        found.append(
            Detections(
                torch.from_numpy(corners.clip(0, [WIDTH, HEIGHT] * 2).astype(np.float32)),
                torch.from_numpy(scores[order].astype(np.float32)),
                torch.from_numpy(classes),
                (HEIGHT, WIDTH),
            )
        )
    return found


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    sides = np.exp(random.normal(4, 1, (count, 2))).clip(4, [WIDTH - 4, HEIGHT - 4])
    return np.concatenate([random.random((count, 2)) * ([WIDTH, HEIGHT] - sides), sides], axis=1).round(2)


def _labels(random: np.random.Generator, count: int) -> np.ndarray:
    """Few classes have many objects, as in COCO, where a person is every third."""
    shares = 1 / np.arange(1, CLASSES + 1)
    return random.choice(CLASSES, count, p=shares / shares.sum())


def by_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    """The twelve numbers as pycocotools' own demo computes them, silently."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def measure(images: int, each: int, rounds: int, command: list[str]) -> Report:
    """One evaluation by pycocotools, which takes a minute and more, and `rounds` by this toolkit."""
    index = split(images)
    found = detections(index, each)
    truth, results = ground_truth(index), to_results(found, index, list(range(images)))
    own_truth, own_results = copy.deepcopy(truth), copy.deepcopy(results)  # pycocotools writes into what it is given
    began = time.perf_counter()
    wanted = by_pycocotools(own_truth, own_results)
    peer = time.perf_counter() - began
    del own_truth, own_results
    stats = evaluate_coco(truth, results).stats
    apart = max(abs(stats[name] - value) for name, value in zip(STAT_NAMES, wanted, strict=True))
    table = Table("pycocotools", unit="s")
    ours = alternate({"toolkit": lambda: evaluate_coco(truth, results)}, rounds)["toolkit"]
    table.add("twelve numbers", {"pycocotools": [peer] * rounds, "toolkit": ours})
    steps: dict[str, Callable[[], Any]] = {
        "results of the detections": lambda: to_results(found, index, list(range(images))),
        "ground truth of the index": lambda: ground_truth(index),
        "evaluation": lambda: evaluate_coco(truth, results),
    }
    parts = {name: statistics.median(alternate({name: step}, rounds)[name]) for name, step in steps.items()}
    end = sum(parts.values())
    rows = [[name, f"{seconds:.2f}"] for name, seconds in {**parts, "all": end}.items()]
    text = f"""{images} images with {len(index.xywh)} objects of {CLASSES} classes and {each} detections each.
pycocotools ran once, this toolkit {rounds} times; their twelve numbers differ by at most {apart:.1g}.

{table.text()}

What stands between the last detection of a validation and its numbers, {1000 * end / images:.2f} ms an image:

{markdown_table(["step", "median s"], rows, "lr")}"""
    numbers = {"time": table.numbers, "steps": parts, "largest_difference": apart, "stats": stats}
    return Report("benchmark_evaluation", "Speed of COCO evaluation", command, numbers, text, {})
