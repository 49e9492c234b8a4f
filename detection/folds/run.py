"""Cross-validation: as many trainings as folds, each tested on the images that it has not seen.

config.yaml        everything that was set         folds.json         which image is tested in which fold
fold1/ ...         the run of each fold            predictions.json   what the folds find, each in its own images
evaluation.json    AP over all of these            suspects.json      labels to look at again, of all images
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detection.config.duration import seconds_of
from detection.config.origin import Setting, annotated_yaml
from detection.config.resuming import refuse_other_settings
from detection.config.schema import Config
from detection.counted import counted
from detection.data.hold_out import index_fingerprints
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.files.lock import claim
from detection.folds.parts import fold_of, joined
from detection.folds.result import FoldedResult, OutOfFold, conclude
from detection.loading.datasets import Splits, load_splits
from detection.loading.detectors import load_detector
from detection.parallel import choose_device, launched
from detection.predict.prepare import prepare
from detection.report.run import refuse_tiles
from detection.report.suspects import Suspect, suspects
from detection.report.traced import passages_in, traced
from detection.training.train import train
from detection.training.validation import evaluate_detector

NEVER = 1 << 30
"""Iterations between evaluations of a run that has one, at its end."""

CHECKPOINT_EVERY = 100

PLAN, FOUND = "folds.json", "out_of_fold.json"


@dataclass(frozen=True)
class Folds:
    """index: all images; part: (N,) the fold, from 0, that each is tested in; count: of folds."""

    index: AnnotationIndex
    part: np.ndarray
    count: int

    def splits(self, fold: int) -> Splits:
        """What a fold learns from, and what it is tested on."""
        rest, own = (np.flatnonzero(self.part != fold), np.flatnonzero(self.part == fold))
        return Splits(self.index.select_images(rest), self.index.select_images(own), [])

    def plan(self) -> dict[str, Any]:
        names = [name.decode(errors="replace") for name in self.index.file_names.tolist()]
        known = index_fingerprints(self.index).tolist()
        return {"folds": self.count, "images": dict(zip(names, (self.part + 1).tolist())), "known": known}


def planned_folds(folder: Path) -> int:
    """How many folds the cross-validation in `folder` has; 0 where there is none."""
    try:
        return int(json.loads((folder / PLAN).read_bytes())["folds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def cross_validate(
    config: Config,
    count: int,
    splits: Splits | None = None,
    origins: Mapping[str, Setting] | None = None,
    dry: bool = False,
) -> FoldedResult | None:
    """Train and test every fold; folds that are done are not repeated. dry: only the beginning of the first fold.

    A `train.time` is shared by the folds. Raises `InputError` like `train`, for too few images, for several processes,
    and where the folder holds folds of other data or settings.
    """
    if launched() or config.processes > 1:
        raise InputError("--folds: trains with one process; leave out --processes and torchrun")
    refuse_tiles(config, "--folds")
    splits = splits or load_splits(config)
    index = joined([splits.train] if splits.val is None else [splits.train, splits.val])
    folds = Folds(index, fold_of(index, count), count)
    shared = _of_each(config, count)
    if dry:
        print(f"fold 1 of {count}; the others take as long")
        train(replace(shared, output=f"{config.output}/fold1"), folds.splits(0), origins, dry=True)
        return None
    folder = Path(config.output)
    lock = claim(folder)
    try:
        _open(folder, config, folds, origins or {})
        parts = [_fold(folder / f"fold{fold + 1}", shared, folds, fold, origins) for fold in range(count)]
        return conclude(folder, folds.index, parts)
    finally:
        if lock:
            lock.release()


def _of_each(config: Config, count: int) -> Config:
    """The settings of a fold's own run, but for its folder. It is evaluated at its end only: whatever was chosen by the
    images that it is tested on would make it seem too good."""
    own = config.train
    for name, chosen in (("train.schedule plateau", own.schedule == "plateau"), ("train.patience", own.patience)):
        if chosen:
            raise InputError(f"{name}: looks at the images that a fold is tested on; leave it out with --folds")
    often = own.checkpoint_every or own.evaluate_every or CHECKPOINT_EVERY
    own = replace(own, evaluate_every=NEVER, checkpoint_every=often)
    if own.time is not None:
        own = replace(own, time=f"{seconds_of(own.time, 'train.time') / count:.3f}s")
    return replace(config, resume=True, train=own)


def _open(folder: Path, config: Config, folds: Folds, origins: Mapping[str, Setting]) -> None:
    """Write what the folds are, or make sure that they still are what was begun."""
    plan = folds.plan()
    if (folder / PLAN).exists():
        if not config.resume:
            raise InputError(f"{folder}: holds a cross-validation; resume it with --resume, or give another folder")
        if json.loads((folder / PLAN).read_bytes()) != plan:
            raise InputError(f"{folder}: its folds are of other images, or of another number; give another --output")
        refuse_other_settings(config)
        return
    if (folder / "config.yaml").exists():
        raise InputError(f"{folder}: holds a run that is no cross-validation; give another folder with --output")
    write_atomically(folder / "config.yaml", annotated_yaml(config, origins).encode())
    write_atomically(folder / PLAN, json.dumps(plan, indent=0).encode("utf-8", "backslashreplace"))


def _fold(folder: Path, config: Config, folds: Folds, fold: int, origins: Mapping[str, Setting] | None) -> OutOfFold:
    """Train a fold and see what its best weights find where they have not been; both only where it is not done."""
    splits = folds.splits(fold)
    assert splits.val is not None
    if not (folder / FOUND).exists():
        images = f"{counted(len(splits.train), 'training image')}, {len(splits.val)} to test on"
        print(f"\nfold {fold + 1} of {folds.count}: {images}", flush=True)
        train(replace(config, output=str(folder)), splits, origins)
        detector, own = load_detector(folder / "best.pt", choose_device(config.device))
        detector = replace(detector, model=prepare(detector.model))
        watch = passages_in(splits.val, own.model.rpn.negative_iou)
        seen = traced(splits.val, evaluate_detector(detector, splits.val, own, workers=own.input.workers, watch=watch))
        found = suspects(splits.val, seen.results, seen.passages)
        content = {"results": seen.results, "suspects": [asdict(each) for each in found]}
        write_atomically(folder / FOUND, json.dumps(content).encode())
    content = json.loads((folder / FOUND).read_bytes())
    doubted = [Suspect(**{**each, "box": tuple(each["box"])}) for each in content["suspects"]]
    return OutOfFold(np.flatnonzero(folds.part == fold), splits.val, content["results"], doubted)
