"""The training loop. It does not know what is trained: the objective has the losses, and says how good the model is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from backbones.norm import moving_buffers
from detection import parallel
from detection.counted import counted
from detection.engine.callback import Callback
from detection.engine.forecast import FIRST, Forecast
from detection.engine.hardware import memory_used
from detection.engine.loop_settings import LoopSettings
from detection.engine.signals import Interrupted, Signals
from detection.engine.skips import Skips
from detection.engine.state import TrainingState
from detection.engine.step import seed_all, step_where
from detection.engine.terminal import NOTABLE_WAIT
from detection.engine.trainable import Objective
from detection.errors import DivergedError
from detection.progress import track

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}

AGREE_EVERY = 10
"""Iterations after which several GPUs ask each other for signals; asking at each would make them wait."""

LARGEST_LOSS = 1000.0
"""Mean loss of a report beyond which a training has diverged, finite or not: detectors and classifiers begin below 10,
the logarithm of some thousand classes."""

NOTHING = -1.0
"""What COCO's evaluation gives where there is nothing to find."""

LOWER_IS_BETTER = ("loss", "top1_error", "top5_error")


class Loop:
    """Moves a training state from iteration to iteration.

    Args:
        save: called with "last" or "best" when the state is to be kept.
        told: of what happens; on ranks other than the first, something that ignores it.
    """

    def __init__(
        self,
        state: TrainingState,
        objective: Objective,
        settings: LoopSettings,
        save: Callable[[str, TrainingState], None],
        told: Callback,
    ) -> None:
        self.state, self.objective, self.settings, self.save, self.told = state, objective, settings, save, told
        self.model = parallel.replicated(state.model)
        self._skips = Skips(settings.skip_nonfinite, settings.skip_unreadable, told.on_message)
        self._told_of_waiting = False

    def run(self, batches: Iterator[Any], images_of: Callable[[int], list[str]] = lambda iteration: []) -> None:
        """Train from the present iteration to the last, or until patience ends. Raises `Interrupted` on a signal.

        images_of: names of the images of an iteration, from 0, for messages.
        """
        settings, progress, length = self.settings, self.state.progress, self.state.length
        if self._out_of_patience():  # a run that had stopped is resumed
            return
        start = progress.iteration
        length.pace.start()
        if length.stretched:
            length.stretch(start, settings.steps_per_epoch, settings.evaluate_every)
        with Signals() as signals:
            while progress.iteration < length.total:
                self._timed_step(batches)
                self.told.on_step(progress.iteration)
                if progress.iteration == start + FIRST or length.plans_at(progress.iteration):
                    self._look_ahead(start)
                evaluated = length.evaluates_at(progress.iteration, settings.evaluate_every)
                reported = evaluated or progress.iteration % settings.log_every == 0
                if reported or self.state.device.type == "cpu":
                    self._count_skips(images_of)
                if reported:
                    self._report()
                began = length.clock()
                better = evaluated and self._evaluate()
                asked = self._asked_to_stop(signals.received)
                stop = asked or (evaluated and self._out_of_patience())
                if evaluated or stop or _falls_on(progress.iteration, self._checkpoint_every):
                    self._count_skips(images_of)
                    self._keep(better)
                if evaluated:
                    length.pace.evaluation = length.clock() - began  # with what is written after it
                if asked:
                    raise Interrupted(asked)
                if stop:
                    break

    def rehearse(self, batches: Iterator[Any]) -> Forecast:
        """The first steps, and what they let expect of the whole; nothing is evaluated, reported or saved."""
        start, length = self.state.progress.iteration, self.state.length
        length.pace.start()
        steps = min(FIRST, length.total - start)
        for _ in track(range(steps), "trying the first steps", steps):
            self._timed_step(batches)
        return self._forecast(start)

    @property
    def _evaluate_every(self) -> int | None:
        return self.settings.evaluate_every or self.state.length.every

    @property
    def _checkpoint_every(self) -> int | None:
        return self.settings.checkpoint_every or self._evaluate_every

    def _timed_step(self, batches: Iterator[Any]) -> None:
        clock = self.state.length.clock
        began = clock()
        self._step(batches)
        self.state.progress.iteration += 1
        self.state.length.pace.stepped(clock() - began)

    def _look_ahead(self, start: int) -> None:
        """Say what the first steps let expect; plan the end of a run by time."""
        iteration, length = self.state.progress.iteration, self.state.length
        forecast = self._forecast(start) if iteration == start + FIRST else None
        if forecast is None:
            length.plan(iteration, self.settings.steps_per_epoch, self.settings.evaluate_every)
        elif length.total > iteration:
            self.told.on_message(str(forecast))
        if length.seconds is not None:
            self.told.on_plan(length.total)

    def _forecast(self, start: int) -> Forecast:
        """By the steps since `start`."""
        state, iteration = self.state, self.state.progress.iteration
        length, pace = state.length, state.length.pace
        if state.device.type == "cuda":
            torch.cuda.synchronize(state.device)  # steps are still under way
        began = length.clock()
        pace.evaluation = pace.evaluation or self.objective.evaluation_seconds(state.evaluated_model())
        state.window.pause(length.clock() - began)
        if length.plans_at(iteration):
            length.plan(iteration, self.settings.steps_per_epoch, self.settings.evaluate_every)
        left = length.total - iteration
        evaluations = -(-left // self._evaluate_every) if self._evaluate_every else 1
        return Forecast(left, pace.step, evaluations, pace.evaluation, memory_used(state.device), length.seconds)

    def _step(self, batches: Iterator[Any]) -> None:
        """One optimiser step. Everything random in it follows from the seed, the iteration and the rank."""
        settings, state, iteration = self.settings, self.state, self.state.progress.iteration
        seed_all(settings.seed, iteration, parallel.rank())
        for group in state.optimizer.param_groups:
            group["lr"] = state.rate(iteration) * group["scale"]
        self.model.train()
        buffers = [b.clone() for b in moving_buffers(self.model)] if settings.skip_nonfinite else []
        sums: dict[str, Tensor] = {}
        images = 0
        for part in range(settings.splits):
            began = time.monotonic()
            batch = next(batches)
            state.window.waited += time.monotonic() - began
            waits = part < settings.splits - 1 and isinstance(self.model, nn.parallel.DistributedDataParallel)
            with self.model.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                amp = AMP_TYPES[settings.amp]
                # Asked for only where it is on: torch 2.4 knows no autocast of mps at all.
                with torch.autocast(state.device.type, dtype=amp) if amp else contextlib.nullcontext():
                    found = self.objective.losses(self.model, batch)
                    total = torch.stack(list(found.losses.values())).sum()
                state.scaler.scale(total / settings.splits).backward()
            for name, value in {"loss": total, **found.losses, **found.observed}.items():
                sums[name] = sums.get(name, 0) + value.detach().float() / settings.splits
            images += found.images
            self._skips.unreadable |= found.unreadable
            for name, picture in found.pictures.items():
                self.told.on_picture(name, iteration, picture)
            if state.rate.needs_error:
                errors = parallel.gather(float(found.observed["error"]))
                state.rate.saw_error(sum(errors) / len(errors))
        self._update(sums, images * parallel.world(), buffers)

    def _update(self, sums: dict[str, Tensor], images: int, buffers: list[Tensor]) -> None:
        """Move the weights, unless a loss or the gradient is not finite; `buffers` then come back."""
        state, clip, sizes = self.state, self.settings.clip, []
        if clip is not None:
            state.scaler.unscale_(state.optimizer)
            sizes = [nn.utils.clip_grad_norm_(self.model.parameters(), clip)]
        elif not state.scaler.is_enabled():
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            sizes = [torch.stack(torch._foreach_norm(gradients)).sum()]
        names, values = list(sums), torch.stack(list(sums.values()))
        if state.scaler.is_enabled():  # gradients that overflow are the scaler's business
            sizes = []
        watched = torch.cat([values, *(size.detach().float().view(1) for size in sizes)])
        sound = self._skips.saw(state.progress.iteration, [*names, "gradient"][: len(watched)], watched)
        state.window.add(names, values, images, sound)
        if state.optimizer.defaults.get("fused"):
            step_where(state.optimizer, state.scaler, sound)
        elif state.scaler.is_enabled() or bool(sound):
            state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        for buffer, before in zip(moving_buffers(self.model), buffers):
            buffer.copy_(torch.where(sound, buffer, before))
        if state.average:
            state.average.update(state.model)

    def _count_skips(self, images_of: Callable[[int], list[str]]) -> None:
        """Count what was left out since the last time; too much of it ends the run."""
        progress = self.state.progress
        progress.skipped = self._skips.count_nonfinite(progress.skipped, images_of)
        progress.unreadable = self._skips.count_unreadable(progress.unreadable)

    def _report(self) -> None:
        """Tell the means since the last report. Raises `DivergedError` where the loss has grown beyond all measure."""
        state, iteration = self.state, self.state.progress.iteration
        waiting = state.window.waiting()
        losses, images_per_second = state.window.close()
        rate = state.rate(iteration - 1)
        if losses and losses["loss"] > LARGEST_LOSS:
            raise DivergedError(
                f"iteration {iteration}: the training has diverged, its mean loss is {losses['loss']:.3g}; the rate of "
                f"{rate:g} is too high: lower train.lr and start again"
            )
        if losses:
            pace = {"images_per_second": images_per_second, "waiting": waiting}
            memory = {"memory_gib": memory_used(state.device) / 2**30}
            self.told.on_report(iteration, {**losses, "lr": rate, **pace, **memory})
        if waiting >= NOTABLE_WAIT and not self._told_of_waiting:
            self._told_of_waiting = True
            self.told.on_message(
                f"steps wait for images {waiting:.0%} of the time: raise input.workers if cores are idle"
            )

    def _evaluate(self) -> bool:
        """Whether the weights are the best so far."""
        state, progress = self.state, self.state.progress
        clock = state.length.clock
        began = clock()
        state.refuse_broken_weights()
        state.share_buffers()
        evaluation = self.objective.evaluate(state.evaluated_model(), progress.iteration)
        progress.metrics = evaluation.metrics
        state.window.pause(clock() - began)
        if not progress.metrics:  # nothing to validate on: the newest weights are the best known
            progress.best_iteration = progress.iteration
            return True
        self.told.on_evaluation(progress.iteration, progress.metrics)
        for name, picture in evaluation.pictures.items():
            self.told.on_picture(name, progress.iteration, picture)
        better = self._is_better(progress.metrics[self.settings.metric], progress.best)
        state.rate.saw_evaluation(better)
        progress.stale = 0 if better else progress.stale + 1
        if better:
            progress.best, progress.best_iteration = progress.metrics[self.settings.metric], progress.iteration
        return better

    def _is_better(self, value: float, best: float | None) -> bool:
        if best is None or value == NOTHING:  # no object to find: the newest weights are the best known
            return True
        return value < best if self.settings.metric in LOWER_IS_BETTER else value > best

    def _keep(self, better: bool) -> None:
        """Save; the best after the last, which can make up for it where the run is killed between the two."""
        self.state.refuse_broken_weights()
        self.save("last", self.state)
        if better:
            self.save("best", self.state)

    def _asked_to_stop(self, received: int) -> int:
        """The signal that a rank has received, 0 for none. All ranks learn of it in the same step: one that left
        alone would keep the others waiting for its gradients."""
        if parallel.world() == 1:
            return received
        every = 1 if self.state.device.type == "cpu" else AGREE_EVERY
        return 0 if self.state.progress.iteration % every else max(parallel.gather(received))

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        if patience is None or self.state.progress.stale < patience:
            return False
        worse, state = f"{self.settings.metric} has not improved in {patience} evaluations", self.state
        if state.rate.kind != "cosine":
            self.told.on_message(f"{worse}: stopping")
            return True
        if not state.length.closing:
            # A cosine that is cut off leaves weights that a high rate still throws about: it falls to its end instead.
            state.length.close(state.progress.iteration, self._evaluate_every or state.length.total)
            left = counted(state.length.total - state.progress.iteration, "iteration")
            self.told.on_message(f"{worse}: the rate falls to zero within {left}, then the run ends")
            self.told.on_plan(state.length.total)
        return False


def _falls_on(iteration: int, every: int | None) -> bool:
    return every is not None and iteration % every == 0
