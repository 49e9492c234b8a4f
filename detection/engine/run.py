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
from detection.config.duration import duration, seconds_of
from detection.config.origin import Setting, annotated_yaml
from detection.config.read import AnyConfig, flat, to_dict
from detection.config.training import TrainConfig
from detection.counted import counted
from detection.engine.callback import Callback, Callbacks
from detection.engine.checkpoints import Checkpoints
from detection.engine.hardware import idle_gpus
from detection.engine.length import Length
from detection.engine.loop import Loop
from detection.engine.loop_settings import LoopSettings
from detection.engine.metric_files import MetricFiles
from detection.engine.provenance import versions
from detection.engine.state import TrainingState
from detection.engine.tensorboard import TensorBoard
from detection.engine.terminal import Terminal
from detection.engine.trackers import trackers
from detection.engine.trainable import Trainable, TrainingResult
from detection.files.atomic import write_atomically
from detection.files.lock import FolderLock, claim


def run(
    config: AnyConfig,
    trainable: Trainable,
    device: torch.device,
    origins: Mapping[str, Setting] | None = None,
    callbacks: Sequence[Callback] = (),
    dry: bool = False,
) -> TrainingResult | None:
    """Train as `config` says to the end, then look at the best weights; ranks other than the first return None.

    origins: where the settings come from, for the comments of config.yaml; callbacks: told what happens; dry: stop
    after the first steps, whose forecast is told, with nothing written. Raises `InputError` for what the user can fix,
    `Interrupted` when asked to stop by a signal.
    """
    if dry:
        _try_out(config, trainable, device)
        return None
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
    told = _listeners(config, trainable.steps_per_epoch, callbacks)
    checkpoints = Checkpoints(config, trainable, lock, told)
    state, changes, warning = _opened(config, trainable, checkpoints)
    loop = Loop(state, trainable.objective, loop_settings(config, trainable), checkpoints.save, told)

    try:
        # Only now data, model, weights and checkpoint are in order: nothing was written before.
        _describe(config, trainable, device, origins, replace_newest=bool(warning))
        start = state.progress.iteration
        told.on_start(start, state.length.total)
        repaired = checkpoints.repair_best(state) if start else ""
        for line in [changes, *_notes(config.train, trainable, state, device), warning, repaired]:
            if line:
                told.on_message(line)
        told.on_message(f"{_extent(state, trainable.steps_per_epoch)} on {device}, into {config.output}")
        loop.run(trainable.batches(state.model, start, state.length.limit), trainable.images_of)
        return _conclude(trainable, checkpoints, state)
    finally:
        told.on_end()


def _opened(config: AnyConfig, trainable: Trainable, checkpoints: Checkpoints) -> tuple[TrainingState, str, str]:
    """The state that the run begins or goes on with, and what to say of changed settings and of the checkpoint."""
    saved, warning = checkpoints.find()
    torch.manual_seed(config.seed)
    model = trainable.build(from_scratch=saved is None)
    length = length_of(config.train, trainable.steps_per_epoch)
    state = TrainingState.at_start(model, config.train, length, trainable.warmup_error)
    return state, checkpoints.restore(state, saved) if saved else "", warning


def _try_out(config: AnyConfig, trainable: Trainable, device: torch.device) -> None:
    """The first steps and the forecast."""
    told = Callbacks([] if parallel.rank() else [Terminal()])
    state, changes, warning = _opened(config, trainable, Checkpoints(config, trainable, None, told))
    loop = Loop(state, trainable.objective, loop_settings(config, trainable), lambda name, state: None, told)
    start = state.progress.iteration
    for line in [changes, *_notes(config.train, trainable, state, device), warning]:
        if line:
            told.on_message(line)
    told.on_message(f"{_extent(state, trainable.steps_per_epoch)} on {device}, into {config.output}")
    forecast = loop.rehearse(trainable.batches(state.model, start, state.length.limit))
    told.on_message(f"{forecast.of_all(state.progress.iteration - start)}\ndry run: nothing was written")


def _extent(state: TrainingState, steps_per_epoch: int) -> str:
    """Which iterations are to come."""
    start, length = state.progress.iteration, state.length
    if length.seconds is not None:
        spent = f" less {duration(length.pace.spent())} spent" if start else ""
        return f"{duration(length.seconds)}{spent} from iteration {start}"
    return f"iterations {start} to {length.total} ({length.total / steps_per_epoch:.1f} epochs)"


def _listeners(config: AnyConfig, steps_per_epoch: int, callbacks: Sequence[Callback]) -> Callbacks:
    """The terminal, the files of the run, trackers and the user's callbacks; nobody on ranks other than the first."""
    if parallel.rank():
        return Callbacks()
    folder = Path(config.output)
    files = [MetricFiles(folder), TensorBoard(folder / "tensorboard")]
    told = trackers(config.train.trackers, folder, flat(to_dict(config)))
    return Callbacks([Terminal(steps_per_epoch), *files, *told, *callbacks])


def length_of(train: TrainConfig, steps_per_epoch: int) -> Length:
    """Of a run whose config gives iterations, epochs or a time."""
    if train.time is not None:
        return Length(seconds=seconds_of(train.time, "train.time"))
    total = train.iterations if train.iterations is not None else round(float(train.epochs or 0) * steps_per_epoch)
    return Length(max(total, 1))


def loop_settings(config: AnyConfig, trainable: Trainable) -> LoopSettings:
    """What the config, or else the length of the run, says of the loop."""
    train, every = config.train, config.train.evaluate_every
    if every is None and train.time is None:
        total = length_of(train, trainable.steps_per_epoch).total
        every = max(trainable.steps_per_epoch, -(-total // 20))
    return LoopSettings(
        splits=train.accumulate,
        seed=config.seed,
        clip=train.clip,
        amp=train.amp,
        log_every=train.log_every,
        evaluate_every=every,
        checkpoint_every=train.checkpoint_every,
        metric=trainable.metric,
        patience=train.patience,
        skip_nonfinite=train.skip_nonfinite,
        skip_unreadable=trainable.skip_unreadable,
        steps_per_epoch=trainable.steps_per_epoch,
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
    if train.time is not None:  # whose quarter is not known yet
        warmup = train.warmup
    shorter = [
        f"warm-up shortened to {counted(warmup, 'iteration')}, a quarter of the run (train.warmup is {train.warmup})"
    ]
    return [*idle_gpus(device), *compiling, *trainable.notes, *(shorter if warmup != train.warmup else [])]


def _conclude(trainable: Trainable, checkpoints: Checkpoints, state: TrainingState) -> TrainingResult | None:
    """What the best weights achieve, and every file of the run."""
    folder, progress = checkpoints.folder, state.progress
    best = checkpoints.load_best()
    checkpoint.load_weights(state.model, best["model"], folder / "best.pt")
    found = trainable.conclude(state.model, best["iteration"], folder)
    if progress.best is not None:
        where = f"at iteration {progress.best_iteration} of {progress.iteration}, in {folder / 'best.pt'}"
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
