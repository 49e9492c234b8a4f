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
from detection.atomic import write_atomically
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config
from detection.config.resuming import refuse_other_settings
from detection.engine.hardware import loaders
from detection.errors import DivergedError, InputError
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
    if not file.is_file():
        raise InputError(f"{file}: no such config; run this from the toolkit's checkout")
    config = read_config(["--config", str(file), *settings], PretrainConfig)
    if config.dataset.val is None or config.dataset.test is None:
        raise InputError(f"{file}: dataset.val must name what decides and dataset.test what is reported")
    return config


def pretrain_all(
    config: PretrainConfig, nets: tuple[str, ...], rates: tuple[float, ...], probe: int, runs: Path, say: Say
) -> None:
    """Every net, one after another, each first with its learning rate found; what is done is not done again."""
    splits: ClassSplits | None = None
    for net in nets:
        run = with_net(config, net, str(runs / "pretrain" / net))
        if finished(runs, net):
            refuse_other_settings(replace(run, train=replace(run.train, lr=read_rates(runs, net).chosen)))
            say(f"{net}: is pretrained already")
            continue
        splits = splits or _with_a_test(config)
        found = find_rate(run, net, rates, probe, runs, splits, say)
        run = replace(run, train=replace(run.train, lr=found.chosen))
        refuse_other_settings(run)
        say(f"{net}: pretraining with a learning rate of {found.chosen:g}")
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


def _with_a_test(config: PretrainConfig) -> ClassSplits:
    splits = load_class_splits(config)
    if splits.test is None or config.dataset.val == config.dataset.test:
        raise InputError(f"dataset.test: {config.dataset.test} is not a split of its own; nothing is left to report")
    return splits


def find_rate(
    run: PretrainConfig, net: str, rates: tuple[float, ...], probe: int, runs: Path, splits: ClassSplits, say: Say
) -> Rates:
    """The rate with which the schedule, shrunk to `probe` iterations, ends at the lowest loss on held-out training
    images; where no rate makes the net learn, all are tried for twice as long."""
    file = runs / "rates" / f"{net}.json"
    if file.exists():
        return read_rates(runs, net)
    chance = math.log(len(splits.train.class_names))
    for doubling in range(DOUBLINGS + 1):
        length = probe << doubling
        losses = {f"{rate:g}": _probe(run, net, rate, length, runs, splits, say) for rate in rates}
        known = {rate: math.inf if loss is None else loss for rate, loss in losses.items()}
        best = min(known, key=lambda rate: known[rate])
        lowest = losses[best]
        learned = lowest is not None and lowest < chance - LEARNED
        if learned:
            break
    if lowest is None:
        raise InputError(f"{net}: the loss became infinite with every learning rate of {rates}; add smaller ones")
    found = Rates(float(best), length, losses, learned)
    write_atomically(file, json.dumps(asdict(found), indent=1).encode())
    return found


def _probe(
    run: PretrainConfig, net: str, rate: float, length: int, runs: Path, splits: ClassSplits, say: Say
) -> float | None:
    """The held-out loss after `length` iterations at `rate`, None where the loss became infinite before."""
    folder = runs / "rates" / net / str(length) / f"{rate:g}"
    if not (folder / "error.json").exists() and not (folder / "diverged.txt").exists():
        say(f"{net}: trying a learning rate of {rate:g} for {length} iterations")
        train = replace(run.train, lr=rate, epochs=None, iterations=length, evaluate_every=length)
        try:
            pretrain(replace(run, output=str(folder), statistics=0, train=train), replace(splits, test=None))
        except DivergedError as error:
            write_atomically(folder / "diverged.txt", f"{error}\n".encode())
    if (folder / "diverged.txt").exists():
        return None
    loss: float = json.loads((folder / "error.json").read_text())["validation"]["loss"]
    return loss
