"""The training loop. It knows no task: what a batch's losses are and how good the model is, the task says."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from detection import parallel
from detection.engine.ema import AveragedModel
from detection.engine.journal import Journal
from detection.engine.learning_rate import LearningRate
from detection.errors import InputError

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}

AGREE_EVERY = 10
"""Iterations after which several processes ask each other for signals; asking at each would make a GPU wait."""

LOWER_IS_BETTER = ("loss", "top1_error", "top5_error")


@dataclass(frozen=True)
class Found:
    """What a task finds of a batch. losses: by name, their sum is minimised; images: in the batch; observed: scalars
    to report with the losses, `error` being the share of wrong images."""

    losses: dict[str, Tensor]
    images: int
    observed: dict[str, Tensor] = field(default_factory=dict)


class Task(Protocol):
    """What is learned."""

    def losses(self, model: nn.Module, batch: Any) -> Found:
        """One forward pass over a batch."""

    def evaluate(self, model: nn.Module, iteration: int) -> dict[str, float]:
        """Metrics of the model on the validation split; on every rank the same."""


@dataclass(frozen=True)
class LoopSettings:
    """total: iterations; the *_every: iterations between; splits: passes an iteration; metric: what decides which
    weights are best; patience: evaluations without improvement before stopping."""

    total: int
    splits: int
    seed: int
    rank: int
    world: int
    clip: float | None
    amp: str
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    metric: str
    patience: int | None


@dataclass
class Progress:
    """How far a run is; saved with every checkpoint."""

    iteration: int = 0
    best: float | None = None
    stale: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class Interrupted(Exception):
    """The run was asked to stop, finished its step and saved. `signal` says by which signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class Loop:
    """Iterations of one run.

    Args:
        model: what trains, wrapped for several processes where there are.
        save: called with "last" or "best" when the state is to be kept.
        journal: None on all ranks but the first.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        optimizer: Optimizer,
        rate: LearningRate,
        average: AveragedModel | None,
        settings: LoopSettings,
        save: Callable[[str], None],
        journal: Journal | None,
    ) -> None:
        self.model = model
        self.task = task
        self.optimizer = optimizer
        self.rate = rate
        self.average = average
        self.settings = settings
        self.save = save
        self.journal = journal
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.amp == "fp16")
        self.progress = Progress()
        self._window = _Window(self.device)

    def run(self, batches: Iterator[Any]) -> None:
        """Train from the present iteration to the last, or until patience ends. Raises `Interrupted` on a signal."""
        settings, progress = self.settings, self.progress
        if self._out_of_patience():  # a run that had stopped is gone on with
            return
        with self.journal.progress() if self.journal else contextlib.nullcontext(), _Signals() as signals:
            while progress.iteration < settings.total:
                self._step(batches)
                progress.iteration += 1
                last = progress.iteration == settings.total
                if self.journal:
                    self.journal.step(progress.iteration)
                evaluated = last or progress.iteration % settings.evaluate_every == 0
                if evaluated or progress.iteration % settings.log_every == 0:
                    self._report()
                if evaluated:
                    self._evaluate()
                asked = self._asked_to_stop(signals.received)
                stop = asked or (evaluated and self._out_of_patience())
                if evaluated or stop or progress.iteration % settings.checkpoint_every == 0:
                    self._report()  # like above, refuses to save weights that are no longer finite
                    self.save("last")
                if asked:
                    raise Interrupted(asked)
                if stop:
                    break

    def evaluated_model(self) -> nn.Module:
        """The weights that count: the averaged ones where the run averages."""
        if self.average:
            return self.average.module
        return self.model.module if isinstance(self.model, nn.parallel.DistributedDataParallel) else self.model

    def _step(self, batches: Iterator[Any]) -> None:
        """One optimiser step. Everything random in it follows from the seed, the iteration and the rank."""
        settings, iteration = self.settings, self.progress.iteration
        torch.manual_seed(int(np.random.SeedSequence((settings.seed, iteration, settings.rank)).generate_state(1)[0]))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(iteration)
        self.model.train()
        for part in range(settings.splits):
            batch = next(batches)
            waits = part < settings.splits - 1 and isinstance(self.model, nn.parallel.DistributedDataParallel)
            with self.model.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                amp = AMP_TYPES[settings.amp]
                with torch.autocast(self.device.type, dtype=amp, enabled=amp is not None):
                    found = self.task.losses(self.model, batch)
                    total = torch.stack(list(found.losses.values())).sum()
                self.scaler.scale(total / settings.splits).backward()
            self._window.add(found, total, found.images * settings.world)
            if self.rate.needs_error:
                errors = parallel.gather(float(found.observed["error"]))
                self.rate.saw_error(sum(errors) / len(errors))
        if settings.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.model)

    def _report(self) -> None:
        if not self._window.count:
            return
        values, images_per_second = self._window.close()
        iteration = self.progress.iteration
        wrong = [name for name, value in values.items() if not np.isfinite(value)]
        if wrong:
            raise InputError(
                f"iteration {iteration}: {', '.join(wrong)} no longer finite; "
                "lower train.lr, set train.clip, or go on from the last checkpoint with --resume true"
            )
        if self.journal:
            self.journal.report(iteration, {**values, "lr": self.rate(iteration - 1)}, images_per_second)

    def _evaluate(self) -> None:
        progress, metric = self.progress, self.settings.metric
        began = time.monotonic()
        model = self.evaluated_model()
        parallel.share_buffers(model)  # what is measured is then what the first rank saves
        progress.metrics = self.task.evaluate(model, progress.iteration)
        self._window.pause(time.monotonic() - began)
        if not progress.metrics:  # nothing to validate on: the newest weights are the best known
            self.save("best")
            return
        if self.journal:
            self.journal.evaluation(progress.iteration, progress.metrics)
        value = progress.metrics[metric]
        lower = metric in LOWER_IS_BETTER
        better = progress.best is None or (value < progress.best if lower else value > progress.best)
        self.rate.saw_evaluation(better)
        progress.stale = 0 if better else progress.stale + 1
        if better:
            progress.best = value
            self.save("best")

    def _asked_to_stop(self, received: int) -> int:
        """The signal that a rank has received, 0 for none. All ranks learn of it in the same step: one that left
        alone would keep the others waiting for its gradients."""
        if self.settings.world == 1:
            return received
        return 0 if self.progress.iteration % AGREE_EVERY else max(parallel.gather(received))

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        if patience is None or self.progress.stale < patience:
            return False
        if self.journal:
            self.journal.say(f"no better {self.settings.metric} in {patience} evaluations: stopping")
        return True


class _Window:
    """Losses since the last report, summed on the device so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._reset()

    def _reset(self) -> None:
        self.names: list[str] = []
        self.sum: Tensor | None = None
        self.count = 0
        self.images = 0
        self.began = time.monotonic()

    def add(self, found: Found, total: Tensor, images: int) -> None:
        parts = {"loss": total, **found.losses, **found.observed}
        values = torch.stack([value.detach().float() for value in parts.values()])
        self.names = list(parts)
        self.sum = values if self.sum is None else self.sum + values
        self.count += 1
        self.images += images

    def pause(self, seconds: float) -> None:
        """Leave this time out of the speed."""
        self.began += seconds

    def close(self) -> tuple[dict[str, float], float]:
        """Means since the last call, and images a second."""
        assert self.sum is not None
        values = dict(zip(self.names, (self.sum / self.count).tolist()))
        speed = self.images / max(time.monotonic() - self.began, 1e-9)
        self._reset()
        return values, speed


class _Signals:
    """While active, the first SIGINT or SIGTERM is remembered for the end of the step; a second one acts at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread: leave signals alone
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _receive(self, number: int, _: object) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
