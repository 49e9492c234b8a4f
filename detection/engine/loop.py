"""The training loop. It knows no task: what a batch's losses are and how good the model is, the task says."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from backbones.norm import moving_buffers
from detection import parallel
from detection.engine.callback import Callback
from detection.engine.ema import AveragedModel
from detection.engine.hardware import memory_used
from detection.engine.journal import NOTABLE_WAIT, Journal
from detection.engine.learning_rate import LearningRate
from detection.engine.signals import Interrupted, Signals
from detection.engine.skips import Skips
from detection.engine.task import Task
from detection.engine.window import Window
from detection.errors import DivergedError, InputError

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}

AGREE_EVERY = 10
"""Iterations after which several GPUs ask each other for signals; asking at each would make them wait."""


LARGEST_LOSS = 1000.0
"""Mean loss of a report beyond which a training has diverged, finite or not: detectors and classifiers begin below 10,
the logarithm of some thousand classes."""

NOTHING = -1.0
"""What COCO's evaluation gives where there is nothing to find."""

LOWER_IS_BETTER = ("loss", "top1_error", "top5_error")


@dataclass(frozen=True)
class LoopSettings:
    """total: iterations; the *_every: iterations between; splits: passes an iteration; metric: what decides which
    weights are best; patience: evaluations without improvement before stopping; skip_nonfinite: steps, and
    skip_unreadable: images, that may be left out before the run stops."""

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
    skip_nonfinite: int = 0
    skip_unreadable: int = 0


@dataclass
class Progress:
    """How far a run is; saved with every checkpoint. best_iteration: whose weights `best.pt` holds; skipped: steps left
    out; unreadable: images that others stood in for."""

    iteration: int = 0
    best: float | None = None
    best_iteration: int = 0
    stale: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    unreadable: list[str] = field(default_factory=list)


class Loop:
    """Iterations of one run.

    Args:
        model: what trains, wrapped for several processes where there are.
        save: called with "last" or "best" when the state is to be kept.
        journal, callbacks: None and nothing on all ranks but the first.
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
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model = model
        self.task = task
        self.optimizer = optimizer
        self.rate = rate
        self.average = average
        self.settings = settings
        self.save = save
        self.journal = journal
        self.callbacks = callbacks
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.amp == "fp16")
        self.progress = Progress()
        self.window = Window(self.device)
        self._told_of_waiting = False
        self._skips = Skips(settings.skip_nonfinite, settings.skip_unreadable, journal)

    def run(self, batches: Iterator[Any], images_of: Callable[[int], list[str]] = lambda iteration: []) -> None:
        """Train from the present iteration to the last, or until patience ends. Raises `Interrupted` on a signal.

        images_of: names of the images of an iteration, from 0, for messages.
        """
        settings, progress = self.settings, self.progress
        if self._out_of_patience():  # a run that had stopped is resumed
            return
        with self.journal.progress() if self.journal else contextlib.nullcontext(), Signals() as signals:
            while progress.iteration < settings.total:
                self._step(batches)
                progress.iteration += 1
                last = progress.iteration == settings.total
                if self.journal:
                    self.journal.step(progress.iteration)
                for callback in self.callbacks:
                    callback.on_step(progress.iteration)
                evaluated = last or progress.iteration % settings.evaluate_every == 0
                reported = evaluated or progress.iteration % settings.log_every == 0
                if reported or self.device.type == "cpu":
                    self._look(images_of)
                if reported:
                    self._report()
                better = evaluated and self._evaluate()
                asked = self._asked_to_stop(signals.received)
                stop = asked or (evaluated and self._out_of_patience())
                if evaluated or stop or progress.iteration % settings.checkpoint_every == 0:
                    self._look(images_of)
                    self._keep(better)
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
        _seed_all(settings.seed, iteration, settings.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(iteration)
        self.model.train()
        buffers = [b.clone() for b in moving_buffers(self.model)] if settings.skip_nonfinite else []
        sums: dict[str, Tensor] = {}
        images = 0
        for part in range(settings.splits):
            began = time.monotonic()
            batch = next(batches)
            self.window.waited += time.monotonic() - began
            waits = part < settings.splits - 1 and isinstance(self.model, nn.parallel.DistributedDataParallel)
            with self.model.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                amp = AMP_TYPES[settings.amp]
                # Asked for only where it is on: torch 2.4 knows no autocast of mps at all.
                with torch.autocast(self.device.type, dtype=amp) if amp else contextlib.nullcontext():
                    found = self.task.losses(self.model, batch)
                    total = torch.stack(list(found.losses.values())).sum()
                self.scaler.scale(total / settings.splits).backward()
            for name, value in {"loss": total, **found.losses, **found.observed}.items():
                sums[name] = sums.get(name, 0) + value.detach().float() / settings.splits
            images += found.images
            self._skips.unreadable |= found.unreadable
            if self.rate.needs_error:
                errors = parallel.gather(float(found.observed["error"]))
                self.rate.saw_error(sum(errors) / len(errors))
        self._update(sums, images * settings.world, buffers)

    def _update(self, sums: dict[str, Tensor], images: int, buffers: list[Tensor]) -> None:
        """Move the weights, unless a loss or the gradient is not finite; `buffers` then come back."""
        settings, sizes = self.settings, []
        if settings.clip is not None:
            self.scaler.unscale_(self.optimizer)
            sizes = [nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)]
        elif not self.scaler.is_enabled():
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            sizes = [torch.stack(torch._foreach_norm(gradients)).sum()]
        names, values = list(sums), torch.stack(list(sums.values()))
        if self.scaler.is_enabled():  # gradients that overflow are the scaler's business
            sizes = []
        watched = torch.cat([values, *(size.detach().float().view(1) for size in sizes)])
        sound = self._skips.saw(self.progress.iteration, [*names, "gradient"][: len(watched)], watched)
        self.window.add(names, values, images, sound)
        if self.optimizer.defaults.get("fused"):
            _step_where(self.optimizer, self.scaler, sound)
        elif self.scaler.is_enabled() or bool(sound):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        for buffer, before in zip(moving_buffers(self.model), buffers):
            buffer.copy_(torch.where(sound, buffer, before))
        if self.average:
            self.average.update(self.model)

    def _look(self, images_of: Callable[[int], list[str]]) -> None:
        """Count what was left out since the last look; too much of it ends the run."""
        progress = self.progress
        progress.skipped = self._skips.count_nonfinite(progress.skipped, images_of)
        progress.unreadable = self._skips.count_unreadable(progress.unreadable)

    def _report(self) -> None:
        waiting = self.window.waiting()
        values, images_per_second = self.window.close()
        iteration = self.progress.iteration
        if values and values["loss"] > LARGEST_LOSS:
            raise DivergedError(
                f"iteration {iteration}: the training has diverged, its mean loss is {values['loss']:.3g}; the rate of "
                f"{self.rate(iteration - 1):g} is too high: lower train.lr and begin anew"
            )
        if self.journal and values:
            now = {**values, "lr": self.rate(iteration - 1)}
            self.journal.report(iteration, now, images_per_second, waiting, memory_used(self.device))
            for callback in self.callbacks:
                callback.on_report(iteration, now)
        if self.journal and waiting >= NOTABLE_WAIT and not self._told_of_waiting:
            self._told_of_waiting = True
            self.journal.say(f"steps wait for images {waiting:.0%} of the time: raise input.workers if there are cores")

    def _evaluate(self) -> bool:
        """Whether the weights are the best so far."""
        progress, metric = self.progress, self.settings.metric
        began = time.monotonic()
        model = self.evaluated_model()
        self._refuse_broken_weights()
        parallel.share_buffers(model)  # what is measured is then what the first rank saves
        progress.metrics = self.task.evaluate(model, progress.iteration)
        self.window.pause(time.monotonic() - began)
        if not progress.metrics:  # nothing to validate on: the newest weights are the best known
            progress.best_iteration = progress.iteration
            return True
        if self.journal:
            self.journal.evaluation(progress.iteration, progress.metrics)
        for callback in self.callbacks:
            callback.on_evaluation(progress.iteration, progress.metrics)
        value = progress.metrics[metric]
        lower = metric in LOWER_IS_BETTER
        better = progress.best is None or (value < progress.best if lower else value > progress.best)
        better = better or value == NOTHING  # no object to find: the newest weights are the best known
        self.rate.saw_evaluation(better)
        progress.stale = 0 if better else progress.stale + 1
        if better:
            progress.best, progress.best_iteration = value, progress.iteration
        return better

    def _keep(self, better: bool) -> None:
        """Save; the best after the last, which can make up for it where the run is killed between the two."""
        self._refuse_broken_weights()
        self.save("last")
        if better:
            self.save("best")

    def _refuse_broken_weights(self) -> None:
        """Weights that are not finite are neither measured nor saved."""
        for model in {self.model, self.evaluated_model()}:
            state = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
            sizes = torch.stack([size.float() for size in torch._foreach_norm(list(state.values()), torch.inf)])
            broken = [name for name, finite in zip(state, sizes.isfinite().tolist()) if not finite]
            if broken:
                raise InputError(
                    f"iteration {self.progress.iteration}: weights are no longer finite, first {broken[0]}; lower "
                    "train.lr or set train.clip, then resume from the last checkpoint with --resume"
                )

    def _asked_to_stop(self, received: int) -> int:
        """The signal that a rank has received, 0 for none. All ranks learn of it in the same step: one that left
        alone would keep the others waiting for its gradients."""
        if self.settings.world == 1:
            return received
        every = 1 if self.device.type == "cpu" else AGREE_EVERY
        return 0 if self.progress.iteration % every else max(parallel.gather(received))

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        if patience is None or self.progress.stale < patience:
            return False
        if self.journal:
            self.journal.say(f"no better {self.settings.metric} in {patience} evaluations: stopping")
        return True


def _seed_all(seed: int, iteration: int, rank: int) -> None:
    """Whatever a step draws from, it draws the same after a restart."""
    state = [int(word) for word in np.random.SeedSequence((seed, iteration, rank)).generate_state(3)]
    torch.manual_seed(state[0])
    random.seed(state[1])
    np.random.seed(state[2])


def _step_where(optimizer: Optimizer, scaler: torch.amp.GradScaler, sound: Tensor) -> None:
    """A step that the device itself leaves out where it is not `sound`: nobody waits to know."""
    if not scaler.is_enabled():  # a scaler tells the optimiser itself what overflowed
        optimizer.found_inf = (~sound).float()  # type: ignore[attr-defined]
    scaler.step(optimizer)
