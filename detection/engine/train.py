"""The training of a detector that a config describes, at once or in four steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from detection import parallel
from detection.config.origin import Setting
from detection.config.schema import Config
from detection.engine.alternating import train_alternating
from detection.engine.callback import Callback
from detection.engine.datasets import Splits, load_splits
from detection.engine.detector import DetectorProblem
from detection.engine.run import Findings, run
from detection.engine.settings import check_device


def train(
    config: Config,
    splits: Splits | None = None,
    origins: Mapping[str, Setting] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Findings | None:
    """Run the training that `config` describes; ranks other than the first return None. origins: where its settings
    come from, by key, for the comments of config.yaml; callbacks: told what happens.

    Raises `InputError` for what the user can fix, `Interrupted` when asked to stop by a signal.
    """
    device = parallel.start(parallel.choose_device(config.device))
    if parallel.restarted():  # by torchrun, after a failure: what was saved is resumed
        config = replace(config, resume=True)
    try:
        check_device(config.train, config.model.norm, "model.norm", device)
        splits = splits or load_splits(config)
        config = replace(config, dataset=replace(config.dataset, val_salt=splits.salt))
        if config.train.mode == "alternating":
            return train_alternating(config, splits, device, origins, callbacks)
        return run(config, DetectorProblem(config, device, splits), device, origins, callbacks)
    finally:
        parallel.stop()
