"""A run from its config to its folder, whatever is learned.

config.yaml        everything that was set          versions.json     what it ran with
last.pt            to resume from                  best.pt           to use
previous.pt        the last.pt before               .lock             while a process writes here
metrics.jsonl      a line per report                results.csv       a row per evaluation
tensorboard/       scalars and pictures             and the findings of the problem
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from backbones.norm import moving_buffers
from detection import checkpoint, parallel
from detection.atomic import write_atomically
from detection.config.origin import Setting, annotated_yaml
from detection.config.read import AnyConfig, to_dict
from detection.config.training import TrainConfig
from detection.engine.callback import Callback
from detection.engine.ema import AveragedModel
from detection.engine.hardware import idle_gpus
from detection.engine.journal import Journal
from detection.engine.learning_rate import LearningRate
from detection.engine.loop import Loop, LoopSettings
from detection.engine.optimizer import build_optimizer, restore_optimizer
from detection.engine.provenance import versions
from detection.engine.resuming import changed_settings, refuse_changes
from detection.engine.task import Task
from detection.errors import InputError
from detection.lock import FolderLock, claim


class Problem(Protocol):
    """What is learned, from what.

    task: `detection` or `classification`, as checkpoints say; classes: names in label order; steps_per_epoch:
    iterations; metric: of an evaluation, decides which weights are best; warmup_error: see `LearningRate`;
    skip_unreadable: images that others may stand in for; lines: what a user should know of the data; described: files
    that tell of it, name -> text; trained_on, validated_on: (N,) int64, what the images of both splits are known by,
    empty where nobody knows.
    """

    task: str
    classes: tuple[str, ...]
    steps_per_epoch: int
    metric: str
    warmup_error: float | None
    skip_unreadable: int
    lines: list[str]
    described: dict[str, str]
    trained_on: np.ndarray
    validated_on: np.ndarray

    def build(self, from_scratch: bool) -> nn.Module:
        """The model on its device; with `from_scratch` it has its first weights, else a checkpoint will bring them."""

    def batches(self, model: nn.Module, start: int, stop: int) -> Iterator[Any]:
        """Training batches from iteration `start` to `stop`."""

    def images_of(self, iteration: int) -> list[str]:
        """Names of the images, over all ranks, of an iteration from 0."""

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


def run(
    config: AnyConfig,
    problem: Problem,
    device: torch.device,
    origins: Mapping[str, Setting] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Findings | None:
    """Train as `config` says to the end, then conclude; ranks other than the first return None.

    Raises `InputError` for what the user can fix, `Interrupted` when asked to stop by a signal.
    """
    lock = claim(Path(config.output))
    try:
        return _Run(config, problem, device, lock, origins or {}, callbacks).run()
    finally:
        if lock:
            lock.release()


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


PROGRESS = ("best", "best_iteration", "stale", "skipped", "unreadable")
"""Of the loop's progress, what only `last.pt` holds."""


class _Run:
    """The parts of one run, put together. lock: of the folder, on the first rank."""

    def __init__(
        self,
        config: AnyConfig,
        problem: Problem,
        device: torch.device,
        lock: FolderLock | None,
        origins: Mapping[str, Setting],
        callbacks: Sequence[Callback],
    ) -> None:
        self.config, self.problem, self.device, self.lock = config, problem, device, lock
        self.folder, self.origins = Path(config.output), origins
        self.callbacks = tuple(callbacks) if parallel.rank() == 0 else ()
        self.trained_on = problem.trained_on
        self.first = parallel.rank() == 0
        saved, self.warning = self._open_folder()
        torch.manual_seed(config.seed)
        self.model = problem.build(from_scratch=saved is None)
        train, epoch = config.train, problem.steps_per_epoch
        total = train.iterations if train.iterations is not None else round(float(train.epochs or 0) * epoch)
        total = max(total, 1)
        self.journal = Journal(self.folder, total, saved["iteration"] if saved else 0, epoch) if self.first else None
        self.task = problem.learning(self.journal)
        self.loop = self._loop(total)
        if saved:
            self._restore(saved)
        self._describe()
        if saved:
            self._mend_best(saved["iteration"])

    def _describe(self) -> None:
        """Write what the run is, and begin its reports: only now data, model, weights and checkpoint are in order."""
        if not self.first:
            return
        write_atomically(self.folder / "config.yaml", annotated_yaml(self.config, self.origins).encode())
        for name, text in self.problem.described.items():
            write_atomically(self.folder / name, text.encode("utf-8", "backslashreplace"))
        write_atomically(self.folder / "versions.json", json.dumps(versions(self.device), indent=1).encode())
        if self.warning:
            checkpoint.mend_newest(self.folder)
        assert self.journal is not None
        self.journal.open()

    def run(self) -> Findings | None:
        """Train to the end, then look at the best weights and write what they achieve."""
        say = self.journal.say if self.journal else lambda _: None
        compiling = (
            ["compiling the network: the first steps take a minute or more"] if self.config.train.compile else []
        )
        for line in [
            *idle_gpus(self.device),
            *compiling,
            *self.problem.lines,
            *self._shorter_warmup(),
            *([self.warning] if self.warning else []),
        ]:
            say(line)
        start, total = self.loop.progress.iteration, self.loop.settings.total
        epochs = total / self.problem.steps_per_epoch
        say(f"iterations {start} to {total} ({epochs:.1f} epochs) on {self.device}, into {self.folder}")
        self.loop.run(self.problem.batches(self.model, start, total), self.problem.images_of)
        findings = self._conclude()
        if self.journal:
            self._say_best()
            self.journal.close()
        return findings if self.first else None

    def _say_best(self) -> None:
        """Which weights are kept, in the line that one looks for at the end."""
        progress, metric = self.loop.progress, self.problem.metric
        if self.journal and progress.best is not None:
            where = (
                f"at iteration {progress.best_iteration} of {self.loop.settings.total}, in {self.folder / 'best.pt'}"
            )
            self.journal.say(f"best validation {metric} {progress.best:.3f} {where}")

    def _shorter_warmup(self) -> list[str]:
        asked, used = self.config.train.warmup, self.loop.rate.warmup
        return [f"warm-up of {used} iterations, a quarter of the run, not {asked}"] if used != asked else []

    def _open_folder(self) -> tuple[dict[str, Any] | None, str]:
        """The checkpoint to resume from, if any, and a warning where it is not the newest."""
        task, folder = self.problem.task, self.folder
        saved: list[dict[str, Any] | None] = []

        def look() -> str:
            if (folder / "step1").exists():
                raise InputError(f"{folder}: holds the four steps of alternating training; give another --output")
            if checkpoint.has_run(folder) and not self.config.resume:
                raise InputError(
                    f"{folder}: holds a run already; resume it with --resume, or give another folder with --output"
                )
            found, warning = checkpoint.load_newest(folder, task)
            saved.append(found)
            return warning

        warning = parallel.on_first(look)
        if not self.first:  # the first rank has made sure that it can be read
            saved.append(checkpoint.load_newest(folder, task)[0])
        return saved[0], warning

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
            skip_nonfinite=train.skip_nonfinite,
            skip_unreadable=self.problem.skip_unreadable,
        )
        model = self.model
        if parallel.world() > 1:
            model = DistributedDataParallel(
                model,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                broadcast_buffers=bool(moving_buffers(model)),  # what never moves need not be sent at every step
                gradient_as_bucket_view=True,
            )
        return Loop(model, self.task, optimizer, rate, average, settings, self._save, self.journal, self.callbacks)

    def _save(self, name: str) -> None:
        """Write `last.pt` or `best.pt`; only the first rank writes."""
        loop = self.loop
        window = loop.window.state_dict() if name == "last" else {}
        if not self.first:
            return
        if self.lock:
            self.lock.check()
        if self.journal:  # reports of what a checkpoint has done must not be lost where it is not
            self.journal.flush()
        content = {
            "task": self.problem.task,
            "config": to_dict(self.config),
            "classes": list(self.problem.classes),
            "iteration": loop.progress.iteration,
            "metrics": loop.progress.metrics,
            "trained_on": torch.from_numpy(self.trained_on),
            "model": loop.evaluated_model().state_dict(),
            "versions": versions(self.device),
        }
        if name == "last":
            content["training"] = {
                "model": self.model.state_dict(),
                "average": loop.average.state_dict() if loop.average else None,
                "optimizer": loop.optimizer.state_dict(),
                "scaler": loop.scaler.state_dict(),
                "rate": loop.rate.state_dict(),
                "window": window,
                **{key: getattr(loop.progress, key) for key in PROGRESS},
            }
        previous = self.folder / checkpoint.PREVIOUS if name == "last" else None
        checkpoint.save(self.folder / f"{name}.pt", content, previous)
        for callback in self.callbacks:
            callback.on_checkpoint(self.folder / f"{name}.pt")

    def _restore(self, saved: dict[str, Any]) -> None:
        path, state, loop = self.folder / "last.pt", saved["training"], self.loop
        now = to_dict(self.config)
        refuse_changes(saved["config"], now, path)
        changed = changed_settings(saved["config"], now)
        if state["rate"]["warmed_up"] and "train.warmup_error" in changed:
            raise InputError(f"{path}: {changed['train.warmup_error']}: the warm-up is over; use the value it had")
        if tuple(saved["classes"]) != self.problem.classes:
            raise InputError(f"{path}: was trained on other classes than {self.config.data} has; use another --output")
        self.trained_on = np.union1d(saved["trained_on"].numpy(), self.problem.trained_on)
        both = int(np.isin(self.problem.validated_on, self.trained_on).sum())
        if both:
            raise InputError(
                f"{path}: was trained on {both} of the {len(self.problem.validated_on)} validation images, which would "
                "measure what it remembers; resume with the data and splits it had, or use another --output"
            )
        checkpoint.load_weights(self.model, state["model"], path)
        try:
            restore_optimizer(loop.optimizer, state["optimizer"])
        except ValueError as error:
            raise InputError(
                f"{path}: the optimiser had other groups of parameters ({error}); use another --output"
            ) from error
        if state["scaler"]:
            loop.scaler.load_state_dict(state["scaler"])
        loop.rate.load_state_dict(state["rate"])
        if loop.average and state["average"]:
            loop.average.load_state_dict(state["average"])
        elif self.config.train.ema is not None:  # asked for on the way: it begins with the restored weights
            loop.average = AveragedModel(self.model, self.config.train.ema)
        loop.progress.iteration = saved["iteration"]
        loop.progress.metrics = saved["metrics"]
        loop.window.load_state_dict(state["window"])
        for key in PROGRESS:
            setattr(loop.progress, key, state[key])
        if self.journal and changed:
            self.journal.say(f"resumes with other settings than before: {', '.join(changed.values())}")

    def _mend_best(self, iteration: int) -> None:
        """Make `best.pt` what the checkpoint takes it for: a run may have been killed before it wrote it, or the file
        may be damaged. Then the restored weights, which evaluated best or are the best there are, go into it."""
        path, progress = self.folder / "best.pt", self.loop.progress
        if progress.best_iteration == 0:  # nothing was evaluated yet
            return

        def look() -> str:
            try:
                found = checkpoint.load(path, self.problem.task)["iteration"]
            except InputError as error:
                lost = progress.best_iteration != iteration
                return f"warning: {error}; the weights of iteration {iteration} take its place" if lost else "unwritten"
            return "unwritten" if found != progress.best_iteration == iteration else ""

        fault = parallel.on_first(look)
        if not fault:
            return
        if fault != "unwritten":
            self.warning = "; ".join(filter(None, (self.warning, fault)))
            progress.best_iteration, progress.best = iteration, progress.metrics.get(self.problem.metric)
        self._save("best")

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
            folder / "last.pt": "the end of the run, from which --resume continues",
            folder / "metrics.jsonl": "losses, rates and validation metrics",
            folder / "results.csv": "a row per evaluation",
            folder / "tensorboard": "the same as curves: tensorboard --logdir " + str(folder),
            folder / "config.yaml": "the whole configuration",
        }
        return Findings(found.result, found.text, files)
