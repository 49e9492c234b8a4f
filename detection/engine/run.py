"""A run from its config to its folder, whatever is trained.

config.yaml        everything that was set          versions.json     what it ran with
last.pt            to resume from                  best.pt           to use
previous.pt        the last.pt before               .lock             while a process writes here
metrics.jsonl      a line per report                results.csv       a row per evaluation
tensorboard/       curves and pictures              and what the trained detector or classifier adds
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from detection import checkpoint, parallel
from detection.config.origin import Setting, annotated_yaml
from detection.config.read import AnyConfig
from detection.config.training import TrainConfig
from detection.counted import counted
from detection.engine.callback import Callback, Callbacks
from detection.engine.checkpoints import Checkpoints
from detection.engine.hardware import idle_gpus
from detection.engine.loop import Loop, LoopSettings
from detection.engine.metric_files import MetricFiles
from detection.engine.provenance import versions
from detection.engine.state import TrainingState
from detection.engine.tensorboard import TensorBoard
from detection.engine.terminal import Terminal
from detection.engine.trainable import Trainable, TrainingResult
from detection.files.atomic import write_atomically
from detection.files.lock import FolderLock, claim


def run(
    config: AnyConfig,
    trainable: Trainable,
    device: torch.device,
    origins: Mapping[str, Setting] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainingResult | None:
    """Train as `config` says to the end, then look at the best weights; ranks other than the first return None.

    origins: where the settings come from, for the comments of config.yaml; callbacks: told what happens. Raises
    `InputError` for what the user can fix, `Interrupted` when asked to stop by a signal.
    """
    lock = claim(Path(config.output))
    try:
        return _run(config, trainable, device, lock, origins or {}, callbacks)
    finally:
        if lock:
            lock.release()


def _run(
    config: AnyConfig,
    trainable: Trainable,
    device: torch.device,
    lock: FolderLock | None,
    origins: Mapping[str, Setting],
    callbacks: Sequence[Callback],
) -> TrainingResult | None:
    """Open the folder, build the model, restore what was saved, train, conclude."""
    told = _listeners(Path(config.output), trainable.steps_per_epoch, callbacks)
    checkpoints = Checkpoints(config, trainable, lock, told)
    saved, warning = checkpoints.find()

    torch.manual_seed(config.seed)
    model = trainable.build(from_scratch=saved is None)
    total = total_iterations(config.train, trainable.steps_per_epoch)
    state = TrainingState.at_start(model, config.train, total, trainable.warmup_error)

    changes = checkpoints.restore(state, saved) if saved else ""
    settings = loop_settings(config, trainable, total)
    loop = Loop(state, trainable.objective, settings, checkpoints.save, told)

    try:
        # Only now data, model, weights and checkpoint are in order: nothing was written before.
        _describe(config, trainable, device, origins, replace_newest=bool(warning))
        told.on_start(state.progress.iteration, total)
        repaired = checkpoints.repair_best(state) if saved else ""
        for line in [changes, *_notes(config.train, trainable, state, device), warning, repaired]:
            if line:
                told.on_message(line)
        start = state.progress.iteration
        epochs = total / trainable.steps_per_epoch
        told.on_message(f"iterations {start} to {total} ({epochs:.1f} epochs) on {device}, into {config.output}")
        loop.run(trainable.batches(model, start, total), trainable.images_of)
        return _conclude(trainable, checkpoints, state, total)
    finally:
        told.on_end()


def _listeners(folder: Path, steps_per_epoch: int, callbacks: Sequence[Callback]) -> Callbacks:
    """The terminal, the files of the run and the user's callbacks; nobody on ranks other than the first."""
    if parallel.rank():
        return Callbacks()
    return Callbacks([Terminal(steps_per_epoch), MetricFiles(folder), TensorBoard(folder / "tensorboard"), *callbacks])


def total_iterations(train: TrainConfig, steps_per_epoch: int) -> int:
    """Iterations of a run whose config gives them, or epochs."""
    total = train.iterations if train.iterations is not None else round(float(train.epochs or 0) * steps_per_epoch)
    return max(total, 1)


def loop_settings(config: AnyConfig, trainable: Trainable, total: int) -> LoopSettings:
    """What the config, or else the length of the run, says of the loop."""
    train = config.train
    every = train.evaluate_every or max(trainable.steps_per_epoch, -(-total // 20))
    return LoopSettings(
        total=total,
        splits=train.accumulate,
        seed=config.seed,
        clip=train.clip,
        amp=train.amp,
        log_every=train.log_every,
        evaluate_every=every,
        checkpoint_every=train.checkpoint_every or every,
        metric=trainable.metric,
        patience=train.patience,
        skip_nonfinite=train.skip_nonfinite,
        skip_unreadable=trainable.skip_unreadable,
    )


def _describe(
    config: AnyConfig,
    trainable: Trainable,
    device: torch.device,
    origins: Mapping[str, Setting],
    replace_newest: bool,
) -> None:
    """Write what the run is; replace_newest: `last.pt`, which is damaged, by the checkpoint that is resumed from."""
    if parallel.rank():
        return
    folder = Path(config.output)
    write_atomically(folder / "config.yaml", annotated_yaml(config, origins).encode())
    for name, text in trainable.described.items():
        write_atomically(folder / name, text.encode("utf-8", "backslashreplace"))
    write_atomically(folder / "versions.json", json.dumps(versions(device), indent=1).encode())
    if replace_newest:
        checkpoint.replace_newest(folder)


def _notes(train: TrainConfig, trainable: Trainable, state: TrainingState, device: torch.device) -> list[str]:
    """What a user should know before the first step."""
    compiling = ["compiling the network: the first steps take a minute or more"] if train.compile else []
    warmup = state.rate.warmup
    shorter = [
        f"warm-up shortened to {counted(warmup, 'iteration')}, a quarter of the run (train.warmup is {train.warmup})"
    ]
    return [*idle_gpus(device), *compiling, *trainable.notes, *(shorter if warmup != train.warmup else [])]


def _conclude(
    trainable: Trainable, checkpoints: Checkpoints, state: TrainingState, total: int
) -> TrainingResult | None:
    """What the best weights achieve, and every file of the run."""
    folder, progress = checkpoints.folder, state.progress
    best = checkpoints.load_best()
    checkpoint.load_weights(state.model, best["model"], folder / "best.pt")
    found = trainable.conclude(state.model, best["iteration"], folder)
    if progress.best is not None:
        where = f"at iteration {progress.best_iteration} of {total}, in {folder / 'best.pt'}"
        checkpoints.told.on_message(f"best validation {trainable.metric} {progress.best:.3f} {where}")
    files = {
        folder / "best.pt": "the best weights",
        **found.files,
        folder / "last.pt": "the end of the run, from which --resume continues",
        folder / "metrics.jsonl": "losses, rates and validation metrics",
        folder / "results.csv": "a row per evaluation",
        folder / "tensorboard": "the same as curves: tensorboard --logdir " + str(folder),
        folder / "config.yaml": "the whole configuration",
    }
    return None if parallel.rank() else TrainingResult(found.evaluation, found.summary, files)
