"""A run from its config to its folder, whatever is learned.

config.yaml        everything that was set          versions.json     what it ran with
last.pt            to go on from                    best.pt           to use
metrics.jsonl      a line per report                results.csv       a row per evaluation
tensorboard/       scalars and pictures             and the findings of the problem
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detection import checkpoint, parallel
from detection.atomic import write_atomically
from detection.config.read import AnyConfig, to_dict, to_yaml
from detection.config.training import TrainConfig
from detection.engine.ema import AveragedModel
from detection.engine.journal import Journal
from detection.engine.learning_rate import LearningRate
from detection.engine.loop import Loop, LoopSettings, Task
from detection.engine.optimizer import build_optimizer
from detection.engine.provenance import versions
from detection.errors import InputError


class Problem(Protocol):
    """What is learned, from what.

    task: `detection` or `classification`, as checkpoints say; classes: names in label order; steps_per_epoch:
    iterations; metric: of an evaluation, decides which weights are best; warmup_error: see `LearningRate`; lines: what
    a user should know of the data.
    """

    task: str
    classes: tuple[str, ...]
    steps_per_epoch: int
    metric: str
    warmup_error: float | None
    lines: list[str]

    def build(self, from_scratch: bool) -> nn.Module:
        """The model on its device; with `from_scratch` it has its first weights, else a checkpoint will bring them."""

    def batches(self, model: nn.Module, start: int, stop: int) -> Iterator[Any]:
        """Training batches from iteration `start` to `stop`."""

    def learning(self, journal: Journal | None) -> Task:
        """Losses and validation, with drawings for the journal."""

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> Findings:
        """What the best weights, of `iteration`, achieve. On all ranks; the first one writes into `folder`."""


@dataclass(frozen=True)
class Findings:
    """result: numbers, None where there was nothing to measure; text: the same as tables for a terminal; files: what
    was written, name -> what it is."""

    result: Any
    text: str
    files: dict[Path, str]


def run(config: AnyConfig, problem: Problem, device: torch.device) -> Findings | None:
    """Train as `config` says to the end, then conclude; ranks other than the first return None.

    Raises `InputError` for what the user can mend, `Interrupted` when asked to stop by a signal.
    """
    return _Run(config, problem, device).run()


def check_device(train: TrainConfig, norm: str, key: str, device: torch.device) -> None:
    """Raise `InputError` for settings that `device` or the number of processes does not allow; `key` names `norm`."""
    if device.type == "cpu" and train.amp == "fp16":
        raise InputError("train.amp: fp16 needs a CUDA device; use bf16 or off")
    if device.type == "cpu" and norm == "sync":
        raise InputError(f"{key}: sync needs CUDA devices; use batch or group")
    if train.batch % (parallel.world() * train.accumulate):
        raise InputError(
            f"train.batch: {train.batch} images cannot be shared by {parallel.world()} processes "
            f"in {train.accumulate} parts each"
        )


def learning_rate(train: TrainConfig, total: int, warmup_error: float | None = None) -> LearningRate:
    """The schedule of a run of `total` iterations."""
    warmup = min(train.warmup, total // 4)
    return LearningRate(
        train.lr,
        total,
        train.schedule,
        tuple(train.steps),
        train.gamma,
        warmup,
        train.warmup_factor,
        train.plateau,
        warmup_error,
    )


def changed_settings(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """`key old -> new` of settings that differ, but for those that no result depends on."""
    found: list[str] = []
    for key in now.keys() & before.keys() - {"output", "resume", "device", "workers"}:
        old, new = before[key], now[key]
        if isinstance(old, dict) and isinstance(new, dict):
            found += changed_settings(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old} -> {new}")
    return sorted(found)


def refuse_other_settings(config: AnyConfig, keys: tuple[str, ...] = ("",)) -> None:
    """Raise `InputError` where `config.output` holds a run whose settings that begin like `keys` were others."""
    path = Path(config.output) / "config.yaml"
    if not path.is_file():
        return
    changed = changed_settings(yaml.safe_load(path.read_text(encoding="utf-8")), to_dict(config))
    other = [change for change in changed if change.startswith(keys)]
    if other:
        raise InputError(f"{path.parent}: was trained with other settings ({', '.join(other)}); use another --output")


class _Run:
    """The parts of one run, put together."""

    def __init__(self, config: AnyConfig, problem: Problem, device: torch.device) -> None:
        self.config, self.problem, self.device = config, problem, device
        self.folder = Path(config.output)
        self.first = parallel.rank() == 0
        saved = self._open_folder()
        torch.manual_seed(config.seed)
        self.model = problem.build(from_scratch=saved is None)
        train, epoch = config.train, problem.steps_per_epoch
        total = train.iterations if train.iterations is not None else round(float(train.epochs or 0) * epoch)
        total = max(total, 1)
        start = saved["iteration"] if saved else 0
        if self.first:  # from here on there is a run to describe: data, model and weights are in order
            write_atomically(self.folder / "config.yaml", to_yaml(config).encode())
            write_atomically(self.folder / "versions.json", json.dumps(versions(), indent=1).encode())
        self.journal = Journal(self.folder, total, start) if self.first else None
        self.task = problem.learning(self.journal)
        self.loop = self._loop(total)
        if saved:
            self._restore(saved)

    def run(self) -> Findings | None:
        """Train to the end, then look at the best weights and write what they achieve."""
        say = self.journal.say if self.journal else lambda _: None
        for line in self.problem.lines:
            say(line)
        start, total = self.loop.progress.iteration, self.loop.settings.total
        epochs = total / self.problem.steps_per_epoch
        say(f"iterations {start} to {total} ({epochs:.1f} epochs) on {self.device}, into {self.folder}")
        self.loop.run(self.problem.batches(self.model, start, total))
        findings = self._conclude()
        if self.journal:
            self.journal.close()
        return findings if self.first else None

    def _open_folder(self) -> dict[str, Any] | None:
        """Make the folder and return the checkpoint to go on from, if any."""
        last = self.folder / "last.pt"
        if (self.folder / "step1").exists():
            raise InputError(f"{self.folder}: holds the four steps of alternating training; give another --output")
        if last.exists() and not self.config.resume:
            raise InputError(
                f"{self.folder}: holds a run already; go on with --resume true, or give another folder with --output"
            )
        if self.first:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"output: {self.folder} cannot be made ({error.strerror})") from error
            if not os.access(self.folder, os.W_OK):
                raise InputError(f"output: no permission to write into {self.folder}")
        return checkpoint.load(last, self.problem.task) if last.exists() else None

    def _loop(self, total: int) -> Loop:
        train = self.config.train
        bias_decay = train.weight_decay if train.bias_decay is None else train.bias_decay
        optimizer = build_optimizer(
            self.model, train.lr, train.momentum, train.weight_decay, train.norm_decay, bias_decay
        )
        rate = learning_rate(train, total, self.problem.warmup_error)
        average = AveragedModel(self.model, train.ema) if train.ema is not None else None
        every = train.evaluate_every or max(self.problem.steps_per_epoch, -(-total // 20))
        settings = LoopSettings(
            total=total,
            splits=train.accumulate,
            seed=self.config.seed,
            rank=parallel.rank(),
            world=parallel.world(),
            clip=train.clip,
            amp=train.amp,
            log_every=train.log_every,
            evaluate_every=every,
            checkpoint_every=train.checkpoint_every or every,
            metric=self.problem.metric,
            patience=train.patience,
        )
        model = self.model
        if parallel.world() > 1:
            model = DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)
        return Loop(model, self.task, optimizer, rate, average, settings, self._save, self.journal)

    def _save(self, name: str) -> None:
        """Write `last.pt` or `best.pt`; only the first rank writes."""
        if not self.first:
            return
        loop = self.loop
        content = {
            "task": self.problem.task,
            "config": to_dict(self.config),
            "classes": list(self.problem.classes),
            "iteration": loop.progress.iteration,
            "metrics": loop.progress.metrics,
            "model": loop.evaluated_model().state_dict(),
            "versions": versions(),
        }
        if name == "last":
            content["training"] = {
                "model": self.model.state_dict(),
                "average": loop.average.state_dict() if loop.average else None,
                "optimizer": loop.optimizer.state_dict(),
                "scaler": loop.scaler.state_dict(),
                "rate": loop.rate.state_dict(),
                "best": loop.progress.best,
                "stale": loop.progress.stale,
            }
        checkpoint.save(self.folder / f"{name}.pt", content)

    def _restore(self, saved: dict[str, Any]) -> None:
        path, state, loop = self.folder / "last.pt", saved["training"], self.loop
        if tuple(saved["classes"]) != self.problem.classes:
            raise InputError(f"{path}: was trained on other classes than {self.config.data} has; use another --output")
        checkpoint.load_weights(self.model, state["model"], path)
        try:
            loop.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise InputError(
                f"{path}: the optimiser had other groups of parameters ({error}); resume with the weight decays it had"
            ) from error
        loop.scaler.load_state_dict(state["scaler"])
        loop.rate.load_state_dict(state["rate"])
        if loop.average and state["average"]:
            loop.average.load_state_dict(state["average"])
        loop.progress.iteration = saved["iteration"]
        loop.progress.metrics = saved["metrics"]
        loop.progress.best, loop.progress.stale = state["best"], state["stale"]
        changed = changed_settings(saved["config"], to_dict(self.config))
        if self.journal and changed:
            self.journal.say(f"goes on with other settings than before: {', '.join(changed)}")

    def _conclude(self) -> Findings:
        """Let the problem look at the best weights."""
        folder = self.folder
        # Sent, since the other ranks come here before the first has written the file.
        best = parallel.from_first(checkpoint.load(folder / "best.pt", self.problem.task) if self.first else {})
        checkpoint.load_weights(self.model, best["model"], folder / "best.pt")
        found = self.problem.conclude(self.model, best["iteration"], folder)
        files = {
            folder / "best.pt": "the best weights",
            **found.files,
            folder / "last.pt": "the end of the run, to go on from with --resume true",
            folder / "metrics.jsonl": "losses, rates and validation metrics",
            folder / "results.csv": "a row per evaluation",
            folder / "tensorboard": "the same as curves: tensorboard --logdir " + str(folder),
            folder / "config.yaml": "the whole configuration",
        }
        return Findings(found.result, found.text, files)
