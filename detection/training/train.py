"""The training of a detector that a config describes, at once or in four steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from detection import parallel
from detection.config.origin import Setting
from detection.config.schema import Config
from detection.engine.callback import Callback
from detection.engine.run import run
from detection.engine.settings import check_device
from detection.engine.trainable import TrainingResult
from detection.loading.datasets import Splits, load_splits
from detection.training.alternating import train_alternating
from detection.training.batch_pictures import BatchFiles
from detection.training.detector import DetectorTraining


def train(
    config: Config,
    splits: Splits | None = None,
    origins: Mapping[str, Setting] | None = None,
    callbacks: Sequence[Callback] = (),
    dry: bool = False,
) -> TrainingResult | None:
    """Run the training that `config` describes; ranks other than the first return None. origins: where its settings
    come from, by key, for the comments of config.yaml; callbacks: told what happens; dry: only the first
    steps, and what they let expect.

    Raises `InputError` for what the user can fix, `Interrupted` when asked to stop by a signal.
    """
    device = parallel.start(parallel.choose_device(config.device))
    if parallel.restarted():  # by torchrun, after a failure: what was saved is resumed
        config = replace(config, resume=True)
    try:
        check_device(config.train, config.model.norm, "model.norm", device)
        splits = splits or load_splits(config)
        config = replace(config, dataset=replace(config.dataset, val_salt=splits.salt))
        callbacks = callbacks if dry else [*callbacks, BatchFiles(Path(config.output) / "batches")]
        if config.train.mode == "alternating":
            return train_alternating(config, splits, device, origins, callbacks, dry)
        return run(config, DetectorTraining(config, device, splits), device, origins, callbacks, dry)
    finally:
        parallel.stop()
