"""What compared backbones have achieved so far, how sure it is and what it costs: numbers of the runs on the disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from backbones.analysis.complexity import complexity
from detection.config.pretrain import PretrainConfig
from detection.data.index import AnnotationIndex
from detection.evaluation.bootstrap import Interval, draw, interval
from detection.evaluation.compare import METRICS
from detection.evaluation.results import read_results
from detection.experiments.backbone_detection import (
    IMPROVED,
    TEST,
    ComparedRow,
    DetectionPlan,
    best_residual,
    read_rate,
    rows_of_seeds,
)
from detection.experiments.backbone_pretraining import class_count, read_rates, read_right
from detection.experiments.degradation import read_run
from detection.experiments.detector_cost import detector_cost
from detection.loading.classifiers import build_classifier
from detection.loading.datasets import load_split, load_splits

PAIRS = (
    ("resnet18", "vgg16"),
    ("resnet18", "vgg16_bn"),
    ("resnet50", "vgg16_bn"),
    ("resnet101", "vgg16"),
    ("resnet101", "vgg16_bn"),
    ("vgg16_bn", "vgg16"),
    ("resnet34", "plain34"),
    ("resnet34", "resnet18"),
    ("resnet50", "resnet34"),
    ("resnet101", "resnet50"),
)
"""Differences that answer the question: residual nets against VGG-16, shortcuts against none, deep against shallow."""

NORMAL = 1.96
"""Standard errors on either side that hold 95 %."""


@dataclass(frozen=True)
class Pretrained:
    """A classifier. top1, top5: errors on the reported split; spread: half of the 95 % interval of top1; held_out: the
    top-1 error that chose the weights; training_error: at the end, of augmented images; multiply_adds: at the crop's
    size; images_per_second: median of the reports. top5 is None where there are no more than five classes."""

    rate: float
    rate_losses: dict[str, float | None]
    depth: int
    parameters: int
    multiply_adds: int
    top1: float
    spread: float
    top5: float | None
    held_out: float
    training_error: float
    images_per_second: float


@dataclass(frozen=True)
class Detected:
    """A row of detectors, one a seed, or an ensemble of all. ap, ap50: on the reported split, each; interval: of the
    mean AP over other images; samples: (B,) mean AP of each resample of the images; milliseconds: median of an
    image."""

    rate: float
    ap: list[float]
    ap50: list[float]
    interval: Interval | None
    parameters: int
    multiply_adds: int
    milliseconds: float
    samples: np.ndarray = field(repr=False, compare=False)

    @property
    def mean(self) -> float:
        return float(np.mean(self.ap))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds, None of one."""
        return float(np.std(self.ap, ddof=1)) if len(self.ap) > 1 else None


@dataclass(frozen=True)
class Difference:
    """row minus reference, with a 95 % interval over other images, paired."""

    row: str
    reference: str
    value: float
    interval: Interval | None


def read_pretrained(config: PretrainConfig, runs: Path, net: str) -> Pretrained:
    """What a finished run has achieved, and what its net costs."""
    folder, rates, right = runs / "pretrain" / net, read_rates(runs, net), read_right(runs, net)
    found, reports = json.loads((folder / "error.json").read_text()), read_run(folder)["train"]
    classes = class_count(config)
    cost = complexity(build_classifier(replace(config.net, name=net, shortcut=None), classes), config.input.crop)
    error = found["test"]["top1_error"]
    last = [report["error"] for report in reports][-5:]
    return Pretrained(
        rates.chosen,
        rates.losses,
        cost.depth,
        cost.parameters,
        cost.multiply_adds,
        error,
        NORMAL * float(np.sqrt(error * (1 - error) / len(right))),
        found["test"].get("top5_error"),
        found["validation"]["top1_error"],
        sum(last) / len(last),
        float(np.median([report["images_per_second"] for report in reports])),
    )


def error_difference(row: str, reference: str, right: dict[str, np.ndarray]) -> Difference:
    """Of top-1 errors; the images are the same, so their differences have a mean with a standard error."""
    change = right[reference].astype(float) - right[row]
    value, half = float(change.mean()), NORMAL * float(change.std()) / len(change) ** 0.5
    return Difference(row, reference, value, Interval(value - half, value + half))


def ap_difference(row: str, reference: str, rows: dict[str, Detected]) -> Difference:
    """Of mean APs; both are resampled with the same images."""
    a, b = rows[row], rows[reference]
    value = a.mean - b.mean
    return Difference(row, reference, value, interval(a.samples - b.samples, value, 0.95))


def detected(plan: DetectionPlan, nets: tuple[str, ...], resamples: int) -> dict[str, Detected]:
    """Every row that is tested to the end, by name: the nets', then what improves the best residual one."""
    best = best_residual(plan, nets)
    wanted = [(net, ComparedRow(net)) for net in nets] + [(best, row) for row in IMPROVED if best is not None]
    done = [(net, row, files) for net, row in wanted if net is not None and (files := rows_of_seeds(plan, net, row))]
    if not done:
        return {}
    some = plan.config(nets[0], plan.rates[0], plan.seeds[0])
    index, _ = load_split(some, TEST, load_splits(some).train.class_names)
    weights = draw(len(index), resamples, 0)
    return {row.name: _row(plan, net, row, files, index, weights) for net, row, files in done}


def _row(
    plan: DetectionPlan, net: str, row: ComparedRow, files: list[Path], index: AnnotationIndex, weights: np.ndarray
) -> Detected:
    how, rate = METRICS["coco"], read_rate(plan, net)
    results = [read_results(file) for file in files]
    values = [how.score(index, found)[0] for found in results]
    samples = np.mean([how.samples(how.matches(index, found), weights).measures["AP"] for found in results], axis=0)
    ap = [float(value["AP"]) for value in values]
    members = len(plan.seeds) if row.ensemble else 1
    cost = detector_cost(plan.config(net, rate, plan.seeds[0], row.variant), len(index.class_names), index)
    times = [json.loads(file.with_name(f"{file.stem}_time.json").read_text())["milliseconds"] for file in files]
    return Detected(
        rate,
        ap,
        [float(value["AP50"]) for value in values],
        interval(samples, float(np.mean(ap)), 0.95),
        members * cost.parameters,
        members * cost.multiply_adds,
        float(np.median(times)),
        samples,
    )


def row_as_json(row: Detected) -> dict[str, Any]:
    """Its numbers, without the samples."""
    kept = {name: value for name, value in vars(row).items() if name not in ("samples", "interval")}
    bounds = None if row.interval is None else asdict(row.interval)
    return {**kept, "mean": row.mean, "deviation": row.deviation, "interval": bounds}


def missing(
    nets: tuple[str, ...], pretrained: dict[str, Pretrained], rows: dict[str, Detected], best: str | None
) -> list[str]:
    """What is not finished, in words."""
    lacking = [f"pretraining of {net}" for net in nets if net not in pretrained]
    lacking += [f"detection with {net}" for net in nets if net not in rows]
    return lacking + [f"{row.name} of {best or 'the best residual net'}" for row in IMPROVED if row.name not in rows]
