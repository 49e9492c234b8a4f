"""Nets pretrained on equal terms, to be compared as classifiers and as backbones of detectors.

RUNS/rates/NET/ITERATIONS/RATE   runs that try a learning rate
RUNS/rates/NET.json              what they found
RUNS/pretrain/NET                the run with the rate chosen: error.json, backbone.pt
RUNS/pretrain/NET/right.npy      which images of the reported split the net is right about, for paired statistics

Nothing is chosen on the split that is reported: rates, and which evaluation `best.pt` is of, are chosen on images held
out of the training split; the data's own validation split is measured once, with `best.pt`.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from detection import parallel
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config
from detection.config.resuming import refuse_other_settings
from detection.config.shipped import config_in
from detection.engine.hardware import loaders
from detection.errors import DivergedError, InputError
from detection.experiments.jobs import Jobs
from detection.files.atomic import write_atomically
from detection.loading.class_images import ClassSplits, load_class_splits, view_of
from detection.loading.class_testing import scores_of
from detection.loading.classifiers import load_classifier
from detection.training.classifier import pretrain, with_net

Say = Callable[[str], None]

NETS = ("vgg16", "vgg16_bn", "plain34", "resnet18", "resnet34", "resnet50", "resnet101")
RATES = (0.1, 0.05, 0.02, 0.01)
PROBE = 500
"""Iterations that a rate is tried for at first."""
LEARNED = 0.05
"""How far below that of guessing, ln(classes), the held-out loss of a net must be that has begun to learn."""
DOUBLINGS = 2
"""How often all rates are tried for twice as long where a net has learned with none of them."""


@dataclass(frozen=True)
class Rates:
    """How a learning rate was found. losses: rate -> loss on held-out images after `iterations`, None where it became
    infinite; learned: whether the best of them is below guessing."""

    chosen: float
    iterations: int
    losses: dict[str, float | None]
    learned: bool


def read_pretraining(file: Path, settings: list[str]) -> PretrainConfig:
    """The recipe that all nets share."""
    file = config_in(file.parent, file.stem)
    config = read_config(["--config", str(file), *settings], PretrainConfig)
    if config.dataset.val is None or config.dataset.test is None:
        raise InputError(
            f"{file}: dataset.val must name the split that selects the weights, dataset.test the one that is reported"
        )
    return config


def pretrain_net(
    config: PretrainConfig, net: str, rates: tuple[float, ...], probe: int, runs: Path, say: Say, jobs: Jobs
) -> None:
    """One net, first with its learning rate found; what is done is not done again."""
    run = with_net(config, net, str(runs / "pretrain" / net))
    if finished(runs, net):
        refuse_other_settings(replace(run, train=replace(run.train, lr=read_rates(runs, net).chosen)))
        say(f"{net}: is pretrained already")
        return
    found = find_rate(run, net, rates, probe, runs, say, jobs)
    run = replace(run, train=replace(run.train, lr=found.chosen))
    refuse_other_settings(run)
    say(f"{net}: pretraining with a learning rate of {found.chosen:g}")
    jobs.each(_pretrain, [(run,)])


def _pretrain(run: PretrainConfig) -> None:
    splits = _splits(run)
    pretrain(run, splits)
    _write_right(Path(run.output), run, splits)


def finished(runs: Path, net: str) -> bool:
    """Whether the net is pretrained and measured to the end."""
    return (runs / "pretrain" / net / "right.npy").exists()


def read_right(runs: Path, net: str) -> np.ndarray:
    """(N,) bool: the images of the reported split whose class `best.pt` names."""
    found: np.ndarray = np.load(runs / "pretrain" / net / "right.npy", allow_pickle=False)
    return found


def _write_right(folder: Path, run: PretrainConfig, splits: ClassSplits) -> None:
    assert splits.test is not None
    device = parallel.choose_device(run.device)
    classifier = load_classifier(str(folder / "best.pt"), device)
    view = view_of(run.evaluate, run.input)
    scores = scores_of(classifier, splits.test, view, run.evaluate.batch, loaders(run.input.workers, device))
    buffer = io.BytesIO()
    np.save(buffer, scores.argmax(1).numpy() == splits.test.labels)
    write_atomically(folder / "right.npy", buffer.getvalue())


def read_rates(runs: Path, net: str) -> Rates:
    return Rates(**json.loads((runs / "rates" / f"{net}.json").read_text()))


_held: dict[str, ClassSplits] = {}
"""The splits that this process has read: every net learns from the same."""


def _splits(run: PretrainConfig) -> ClassSplits:
    key = repr((run.data, run.dataset, run.seed))
    if key not in _held:
        splits = load_class_splits(run)
        if splits.test is None or run.dataset.val == run.dataset.test:
            raise InputError(f"dataset.test: {run.dataset.test} is not a split of its own; nothing is left to report")
        _held.clear()
        _held[key] = splits
    return _held[key]


def class_count(config: PretrainConfig) -> int:
    return len(_splits(config).train.class_names)


def find_rate(
    run: PretrainConfig, net: str, rates: tuple[float, ...], probe: int, runs: Path, say: Say, jobs: Jobs
) -> Rates:
    """The rate with which the schedule, shrunk to `probe` iterations, ends at the lowest loss on held-out training
    images; where no rate makes the net learn, all are tried for twice as long."""
    file = runs / "rates" / f"{net}.json"
    if file.exists():
        return read_rates(runs, net)
    for doubling in range(DOUBLINGS + 1):
        length = probe << doubling
        say(f"{net}: trying learning rates of {', '.join(f'{rate:g}' for rate in rates)} for {length} iterations")
        found = jobs.each(_probe, [(run, runs / "rates" / net, rate, length) for rate in rates])
        losses = {f"{rate:g}": loss for rate, (loss, _) in zip(rates, found)}
        known = {rate: math.inf if loss is None else loss for rate, loss in losses.items()}
        best = min(known, key=lambda rate: known[rate])
        lowest, chance = losses[best], math.log(found[0][1])
        learned = lowest is not None and lowest < chance - LEARNED
        if learned:
            break
    if lowest is None:
        raise InputError(f"{net}: the loss became infinite with every learning rate of {rates}; add smaller ones")
    rate = Rates(float(best), length, losses, learned)
    write_atomically(file, json.dumps(asdict(rate), indent=1).encode())
    return rate


def _probe(run: PretrainConfig, folder: Path, rate: float, length: int) -> tuple[float | None, int]:
    """The held-out loss after `length` iterations at `rate`, None where the loss became infinite before, and the
    number of classes."""
    folder = folder / str(length) / f"{rate:g}"
    splits = _splits(run)
    classes = len(splits.train.class_names)
    if not (folder / "error.json").exists() and not (folder / "diverged.txt").exists():
        train = replace(run.train, lr=rate, epochs=None, iterations=length, evaluate_every=length)
        try:
            pretrain(replace(run, output=str(folder), statistics=0, train=train), replace(splits, test=None))
        except DivergedError as error:
            write_atomically(folder / "diverged.txt", f"{error}\n".encode())
    for weights in folder.glob("*.pt"):  # a gigabyte each of VGG-16, and nothing begins from them
        weights.unlink()
    if (folder / "diverged.txt").exists():
        return None, classes
    loss: float = json.loads((folder / "error.json").read_text())["validation"]["loss"]
    return loss, classes
