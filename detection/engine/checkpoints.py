"""The checkpoints of one run: which to resume from, what is written into them, and when they are repaired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection import checkpoint, parallel
from detection.config.read import AnyConfig, to_dict
from detection.config.resuming import changed_settings, refuse_changes
from detection.engine.callback import Callback
from detection.engine.provenance import versions
from detection.engine.state import TrainingState
from detection.engine.trainable import Trainable
from detection.errors import InputError
from detection.files.lock import FolderLock


class Checkpoints:
    """`last.pt`, `previous.pt` and `best.pt` in the folder of a run.

    lock: of the folder, on the first rank; told: of what is written. trained_on: fingerprints of all images that the
    weights have seen, those of before a resume too.
    """

    def __init__(self, config: AnyConfig, trainable: Trainable, lock: FolderLock | None, told: Callback) -> None:
        self.config, self.folder, self.lock, self.told = config, Path(config.output), lock, told
        self.kind, self.class_names, self.metric = trainable.kind, trainable.class_names, trainable.metric
        self.trained_on, self.validated_on = trainable.trained_on, trainable.validated_on

    def find(self) -> tuple[dict[str, Any] | None, str]:
        """The checkpoint to resume from, None for a new run, and a warning where it is not the newest. Raises
        `InputError` where the folder holds a run that is not to be resumed."""
        folder = self.folder
        saved: list[dict[str, Any] | None] = []

        def look() -> str:
            if (folder / "step1").exists():
                raise InputError(f"{folder}: holds the four steps of alternating training; give another --output")
            if (folder / "folds.json").exists():
                raise InputError(f"{folder}: holds a cross-validation; give another --output")
            if checkpoint.has_run(folder) and not self.config.resume:
                raise InputError(
                    f"{folder}: holds a run already; resume it with --resume, or give another folder with --output"
                )
            found, warning = checkpoint.load_newest(folder, self.kind)
            saved.append(found)
            return warning

        warning = parallel.on_first(look)
        if not saved:  # on other ranks; the first has made sure that it can be read
            saved.append(checkpoint.load_newest(folder, self.kind)[0])
        return saved[0], warning

    def restore(self, state: TrainingState, saved: dict[str, Any]) -> str:
        """Fill `state` from a checkpoint; returns a line on settings that differ, or nothing. Raises `InputError` where
        the run would no longer be one run."""
        path, training, now = self.folder / checkpoint.LAST, saved["training"], to_dict(self.config)
        refuse_changes(saved["config"], now, path)
        changed = changed_settings(saved["config"], now)
        if training["rate"]["warmed_up"] and "train.warmup_error" in changed:
            raise InputError(f"{path}: {changed['train.warmup_error']}: the warm-up is over; use the value it had")
        if tuple(saved["classes"]) != self.class_names:
            raise InputError(f"{path}: was trained on other classes than {self.config.data} has; use another --output")
        self.trained_on = np.union1d(saved["trained_on"].numpy(), self.trained_on)
        both = int(np.isin(self.validated_on, self.trained_on).sum())
        if both:
            raise InputError(
                f"{path}: was trained on {both} of the {len(self.validated_on)} validation images, which would "
                "make the evaluation too good; resume with the data and splits it had, or use another --output"
            )
        checkpoint.refuse_other_tensors(state.model, training["model"], path)
        try:
            state.load_state_dict(training, saved["iteration"], saved["metrics"])
        except ValueError as error:
            raise InputError(
                f"{path}: the optimiser had other groups of parameters ({error}); use another --output"
            ) from error
        return f"resuming with changed settings: {', '.join(changed.values())}" if changed else ""

    def save(self, name: str, state: TrainingState) -> None:
        """Write `last.pt` or `best.pt`. Every rank must call it; the first one writes."""
        training = {"training": state.state_dict()} if name == "last" else {}
        if parallel.rank():
            return
        if self.lock:
            self.lock.check()
        self.told.before_checkpoint()
        content = {
            "task": self.kind,
            "config": to_dict(self.config),
            "classes": list(self.class_names),
            "iteration": state.progress.iteration,
            "metrics": state.progress.metrics,
            "trained_on": torch.from_numpy(self.trained_on),
            "model": state.evaluated_model().state_dict(),
            "versions": versions(state.device),
            **training,
        }
        path = self.folder / f"{name}.pt"
        checkpoint.save(path, content, self.folder / checkpoint.PREVIOUS if name == "last" else None)
        self.told.on_checkpoint(path)

    def repair_best(self, state: TrainingState) -> str:
        """Make `best.pt` what the restored state takes it for, and return a warning where it was damaged.

        A run may have been killed before it wrote it, or the file may be damaged. Then the restored weights, which
        evaluated best or are the best there are, go into it.
        """
        path, progress = self.folder / "best.pt", state.progress
        if progress.best_iteration == 0:  # nothing was evaluated yet
            return ""

        def look() -> str:
            try:
                found = checkpoint.load(path, self.kind)["iteration"]
            except InputError as error:
                lost = progress.best_iteration != progress.iteration
                line = f"warning: {error}; the weights of iteration {progress.iteration} replace it"
                return line if lost else "unwritten"
            return "unwritten" if found != progress.best_iteration == progress.iteration else ""

        fault = parallel.on_first(look)
        if not fault:
            return ""
        warning = "" if fault == "unwritten" else fault
        if warning:
            progress.best_iteration, progress.best = progress.iteration, progress.metrics.get(self.metric)
        self.save("best", state)
        return warning

    def load_best(self) -> dict[str, Any]:
        """The content of `best.pt` on every rank; sent, since others may come here before the first has written it."""
        return parallel.from_first(checkpoint.load(self.folder / "best.pt", self.kind) if not parallel.rank() else {})
