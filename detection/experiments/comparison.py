"""Runs and files of predictions, gathered for comparison: one dataset for all, or a refusal that names both."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection import checkpoint
from detection.config.read import from_dict
from detection.config.schema import Config
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.compare import Contestant, Cost
from detection.evaluation.results import read_results
from detection.experiments.detector_cost import detector_cost, latency
from detection.files.documents import load_yaml
from detection.loading.datasets import find_data, load_split, load_splits


@dataclass(frozen=True)
class DataChoice:
    """What the command line says of the data; None leaves it to the runs' own configs."""

    data: str | None = None
    split: str | None = None
    format: str | None = None
    images: str | None = None


@dataclass(frozen=True)
class Gathered:
    """index: the one dataset; dataset: it in words; contestants: in the order given; notes: lines to tell."""

    index: AnnotationIndex
    dataset: str
    contestants: list[Contestant]
    notes: list[str]


@dataclass(frozen=True)
class _Run:
    """folder of `frcnn train`; classes: of its checkpoint, None where it has none."""

    folder: Path
    config: Config
    classes: tuple[str, ...] | None

    @property
    def split(self) -> str:
        return self.config.dataset.val or "val"

    @property
    def where(self) -> str:
        return f"split {self.split!r} of {self.config.data}"


def gather(sources: list[str], choice: DataChoice, timed: int = 0, device: torch.device | None = None) -> Gathered:
    """Read runs (folders of `frcnn train`) and COCO result files, and the dataset they are of.

    timed: images to measure each checkpoint's time on, 0 for none. Raises InputError where a source is neither, where
    sources are of different data, splits or classes, and for whatever is wrong in the files.
    """
    twice = [source for source in sources if sources.count(source) > 1]
    if twice:
        raise InputError(f"{twice[0]}: is given twice; give each run once")
    paths = [Path(source) for source in sources]
    runs = {path: _read_run(path, choice) for path in paths if not _is_file(path)}
    if not runs and choice.data is None:
        raise InputError(f"{paths[0]}: predictions do not say what they are of; add --data PATH and --split SPLIT")
    index, dataset, notes = _data_of_runs(list(runs.values())) if runs else _data_of_choice(choice)
    contestants = []
    for name, path in zip(_names(paths), paths, strict=True):
        run = runs.get(path)
        file = path if run is None else path / "predictions.json"
        results = read_results(file)
        cost = None
        if run is not None:
            notes += _check_evaluation(run, index)
            cost = _cost(run, index, timed, device)
        contestants.append(Contestant(name, str(file), results, cost))
    return Gathered(index, dataset, contestants, notes)


def _is_file(path: Path) -> bool:
    if not path.exists():
        raise InputError(f"{path}: there is no such run or file; give folders of `frcnn train` or COCO result files")
    return path.is_file()


def _read_run(folder: Path, choice: DataChoice) -> _Run:
    if not (folder / "config.yaml").is_file():
        raise InputError(
            f"{folder}: is not a run folder, it has no config.yaml; give one of `frcnn train` or a file of results"
        )
    if not (folder / "predictions.json").is_file():
        raise InputError(
            f"{folder}: has no predictions.json; the run is not finished or had no validation split, "
            f"`frcnn evaluate --checkpoint {folder / 'best.pt'} --output {folder}` writes one"
        )
    config = _config(folder / "config.yaml")
    if choice.split is not None and choice.split != (config.dataset.val or "val"):
        raise InputError(
            f"{folder}: its predictions are of split {config.dataset.val!r}, not {choice.split!r}; "
            "evaluate its best.pt on that split and give the predictions.json"
        )
    if choice.data is not None or choice.images is not None:
        images = choice.images if choice.data is not None else choice.images or config.dataset.images
        dataset = replace(config.dataset, format=choice.format or "auto", images=images)  # type: ignore[arg-type]
        config = replace(config, data=choice.data or config.data, dataset=dataset)
    best = folder / "best.pt"
    classes = tuple(checkpoint.load(best, "detection")["classes"]) if best.is_file() else None
    return _Run(folder, config, classes)


def _config(path: Path) -> Config:
    content = load_yaml(path, "the config.yaml that the run wrote")
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings; copy the config.yaml that the run wrote")
    return from_dict(content, path, Config)


def _data_of_runs(runs: list[_Run]) -> tuple[AnnotationIndex, str, list[str]]:
    """The validation split of the first run, after making sure that it is everyone's."""
    index, notes = _load(runs[0])
    settings = (runs[0].config.data, runs[0].config.dataset, runs[0].config.seed, runs[0].classes)
    for run in runs[1:]:
        if (run.config.data, run.config.dataset, run.config.seed, run.classes) == settings:
            continue
        difference = _difference(index, _load(run)[0])
        if difference:
            raise InputError(
                f"{runs[0].folder} and {run.folder} have other {difference}: {runs[0].where} and {run.where}; "
                "compare runs of one dataset, split and list of classes"
            )
    return index, runs[0].where, notes


def _load(run: _Run) -> tuple[AnnotationIndex, list[str]]:
    if run.classes is not None:
        return load_split(run.config, run.split, run.classes)
    splits = load_splits(run.config)
    if splits.val is None:
        raise InputError(f"{run.folder}: has no validation split to compare on; give predictions.json files and --data")
    return splits.val, splits.notes


def _difference(a: AnnotationIndex, b: AnnotationIndex) -> str | None:
    """What tells two datasets apart, in a word, or None."""
    if a.class_names != b.class_names or not np.array_equal(a.category_ids, b.category_ids):
        return "classes"
    if not np.array_equal(a.image_ids, b.image_ids) or not np.array_equal(a.file_names, b.file_names):
        return "images"
    if not np.array_equal(a.xywh, b.xywh) or not np.array_equal(a.labels, b.labels):
        return "annotations"
    return None


def _data_of_choice(choice: DataChoice) -> tuple[AnnotationIndex, str, list[str]]:
    """As `frcnn evaluate --predictions`: the split named, else val, else the only or first one."""
    config = Config()
    dataset = replace(config.dataset, format=choice.format or "auto", images=choice.images)  # type: ignore[arg-type]
    source = find_data(replace(config, data=choice.data, dataset=dataset))
    split = choice.split or ("val" if "val" in source.splits else next(iter(source.splits)))
    return source.read(split), f"split {split!r} of {choice.data}", []


def _names(paths: list[Path]) -> list[str]:
    """Short names, or the paths as given where short ones would clash or say nothing."""
    short = [path.stem if path.suffix == ".json" else path.resolve().name for path in paths]
    return [
        str(path) if short.count(name) > 1 or name == "predictions" else name
        for name, path in zip(short, paths, strict=True)
    ]


def _check_evaluation(run: _Run, index: AnnotationIndex) -> list[str]:
    """A note where the run's evaluation.json is of this data with other numbers; InputError where of other data."""
    path = run.folder / "evaluation.json"
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        images, objects = int(content["images"]), int(content["objects"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return [
            f"{run.folder}: its evaluation.json is missing or no evaluation, so its predictions are taken on trust."
        ]
    here = int(np.count_nonzero(~(index.crowd | index.difficult)))
    if (images, objects) != (len(index), here):
        raise InputError(
            f"{path}: is of {images} images and {objects} objects, but {run.where} has {len(index)} and {here}; "
            "the data changed or the predictions are of another split, evaluate the run again"
        )
    return []


def _cost(run: _Run, index: AnnotationIndex, timed: int, device: torch.device | None) -> Cost | None:
    if run.classes is None:
        return None
    cost = detector_cost(run.config, len(run.classes), index)
    if not timed:
        return cost
    return replace(cost, latency_ms=latency(run.folder / "best.pt", index, timed, device or torch.device("cpu")))
