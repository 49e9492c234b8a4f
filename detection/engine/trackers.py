"""Experiment trackers that listen to a training: Weights & Biases, MLflow, ClearML and Comet.

Each is configured as its users know it, by its own environment variables and files (WANDB_PROJECT, MLFLOW_TRACKING_URI,
clearml.conf, COMET_API_KEY, ...), offline modes included. What is logged is what TensorBoard gets: losses and rates,
validation metrics, pictures, and the settings of the run. A resumed run goes on in the same one, whose number is kept
in trackers.json of its folder; steps that a killed run repeats are then logged twice.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.engine.callback import Callback
from detection.errors import InputError
from detection.files.atomic import write_atomically

PROJECT = "frcnn"
"""Where the tracker's own configuration names none."""
FILE = "trackers.json"


class Tracker(Callback):
    """folder: of the run; settings: dotted key -> value."""

    name = ""
    package = ""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, dict(settings)
        self._open = False

    def on_start(self, iteration: int, total: int) -> None:
        known = _known(self.folder) if iteration else {}
        try:
            number = self.begin(known.get(self.name))
        except Exception as error:
            raise InputError(f"train.trackers: {self.name} cannot begin: {_line(error)}") from error
        self._open = True
        content = {**_known(self.folder), self.name: number}
        write_atomically(self.folder / FILE, json.dumps(content, indent=1).encode())

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        self._try(self.log, {f"train/{name}": value for name, value in values.items()}, iteration)

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        self._try(self.log, {f"val/{name}": value for name, value in metrics.items()}, iteration)

    def on_picture(self, name: str, iteration: int, picture: np.ndarray) -> None:
        self._try(self.show, name, picture, iteration)

    def on_end(self) -> None:
        self._try(self.end)
        self._open = False

    def _try(self, call: Callable[..., None], *values: Any) -> None:
        """A service that fails in the middle of a training ends what it is told, not the training."""
        if not self._open:
            return
        try:
            call(*values)
        except Exception as error:
            self._open = False
            print(f"{self.name} has failed and is told no more: {_line(error)}", file=sys.stderr, flush=True)

    def begin(self, known: str | None) -> str:
        """Open a run, or the `known` one again; its number."""
        raise NotImplementedError

    def log(self, values: dict[str, float], iteration: int) -> None:
        raise NotImplementedError

    def show(self, name: str, picture: np.ndarray, iteration: int) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class WeightsAndBiases(Tracker):
    name, package = "wandb", "wandb"

    def begin(self, known: str | None) -> str:
        import wandb

        self._run = wandb.init(
            project=None if wandb.Settings().project else PROJECT,
            name=self.folder.name,
            id=known,
            resume="allow" if known else None,
            dir=str(self.folder),
            config=self.settings,
        )
        return str(self._run.id)

    def log(self, values: dict[str, float], iteration: int) -> None:
        self._run.log(values, step=iteration)

    def show(self, name: str, picture: np.ndarray, iteration: int) -> None:
        import wandb

        self._run.log({name: wandb.Image(picture)}, step=iteration)

    def end(self) -> None:
        self._run.finish()


class MLflow(Tracker):
    name, package = "mlflow", "mlflow"

    def begin(self, known: str | None) -> str:
        import mlflow
        from mlflow.tracking.fluent import _get_experiment_id

        self._client = mlflow.MlflowClient()
        if known is None:
            run = self._client.create_run(_get_experiment_id() or "0", run_name=self.folder.name)
            for key, value in self.settings.items():
                self._client.log_param(run.info.run_id, key, value)
            known = str(run.info.run_id)
        else:
            self._client.update_run(known, status="RUNNING")
        self._number = known
        return known

    def log(self, values: dict[str, float], iteration: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._number, _plain(name), value, step=iteration)

    def show(self, name: str, picture: np.ndarray, iteration: int) -> None:
        self._client.log_image(self._number, picture, key=_plain(name), step=iteration)

    def end(self) -> None:
        self._client.set_terminated(self._number)


class ClearML(Tracker):
    name, package = "clearml", "clearml"

    def begin(self, known: str | None) -> str:
        import clearml
        from clearml.config import config_obj

        # ClearML would fork this process, whose threads it then lacks, to report; and where the fork meets the git that
        # another of its threads starts, the end of the run waits five minutes.
        config_obj.set_overrides({"sdk": {"development": {"report_use_subprocess": False}}})
        self._task: Any = clearml.Task.init(
            project_name=PROJECT,
            task_name=self.folder.name,
            reuse_last_task_id=False,
            continue_last_task=known or False,
            auto_connect_arg_parser=False,
            auto_connect_frameworks=False,
            auto_resource_monitoring=False,
        )
        self._task.connect(dict(self.settings))
        return str(self._task.id)

    def log(self, values: dict[str, float], iteration: int) -> None:
        for name, value in values.items():
            kind, _, series = name.partition("/")
            self._task.get_logger().report_scalar(series, kind, value, iteration)

    def show(self, name: str, picture: np.ndarray, iteration: int) -> None:
        self._task.get_logger().report_image(name, name, iteration, image=picture)

    def end(self) -> None:
        self._task.close()


class Comet(Tracker):
    name, package = "comet", "comet_ml"

    def begin(self, known: str | None) -> str:
        import comet_ml

        self._run = comet_ml.start(
            project_name=str(comet_ml.get_config("comet.project_name") or PROJECT),
            experiment_key=known,
            experiment_config=comet_ml.ExperimentConfig(name=self.folder.name, auto_histogram_weight_logging=False),
        )
        self._run.log_parameters(self.settings)
        return str(self._run.get_key())

    def log(self, values: dict[str, float], iteration: int) -> None:
        self._run.log_metrics(values, step=iteration)

    def show(self, name: str, picture: np.ndarray, iteration: int) -> None:
        self._run.log_image(picture, name=name, step=iteration)

    def end(self) -> None:
        self._run.end()


TRACKERS: dict[str, type[Tracker]] = {kind.name: kind for kind in (WeightsAndBiases, MLflow, ClearML, Comet)}


def trackers(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> list[Tracker]:
    """Those that are named. Raises `InputError` where the package of one is not installed."""
    for name in names:
        package = TRACKERS[name].package
        if importlib.util.find_spec(package) is None:
            raise InputError(f"train.trackers: {name} needs the package {package}; pip install {package}")
    return [TRACKERS[name](folder, settings) for name in names]


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _known(folder: Path) -> dict[str, str]:
    file = folder / FILE
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _plain(name: str) -> str:
    """A name with the letters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)
