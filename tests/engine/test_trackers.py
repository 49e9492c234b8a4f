"""Trackers in their offline modes: each is told what a training does, and none can stop it."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from detection.engine import trackers
from detection.engine.trackers import TRACKERS, Tracker
from detection.errors import InputError

pytestmark = pytest.mark.thorough

OFFLINE = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_TRACKING_URI": "file:{folder}/mlflow",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "CLEARML_OFFLINE_MODE": "1",
    "CLEARML_CACHE_DIR": "{folder}/clearml",
    "COMET_START_ONLINE": "0",
    "COMET_OFFLINE_DIRECTORY": "{folder}/comet",
    "PYTHONPATH": "{folder}",
}
NO_NETWORK = """
import socket

connect, resolve = socket.socket.connect, socket.getaddrinfo


def is_here(address):
    return isinstance(address, (str, bytes)) or address[0] in ("localhost", "127.0.0.1", "::1")


def refuse(call, address, *values, **named):
    if not is_here(address):
        raise OSError(101, "Network is unreachable")
    return call(*values, **named)


socket.socket.connect = lambda self, address: refuse(connect, address, self, address)
socket.getaddrinfo = lambda host, *values, **named: refuse(resolve, (host,), host, *values, **named)
"""
"""Read when Python starts. Offline as they are, some packages ask the network for this machine's address, and where a
firewall drops what is sent they wait for minutes."""


def _content(archives) -> bytes:
    found = b""
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            found += b"".join(opened.read(name) for name in opened.namelist())
    return found


def test_all_are_told_what_a_training_does(shapes, tiny, tmp_path):
    for package in ("wandb", "mlflow", "clearml", "comet_ml"):
        pytest.importorskip(package)
    environment = {name: value.format(folder=tmp_path) for name, value in OFFLINE.items()}
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    run = tmp_path / "run"
    words = ["train", *tiny, f"--data={shapes}", f"--output={run}", "--evaluate.report=false", "--train.log_every=1"]
    command = [sys.executable, "-m", "detection", *words, f"--trackers={','.join(TRACKERS)}"]
    done = subprocess.run(
        command, env={**os.environ, "HOME": str(tmp_path), **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and "told no more" not in done.stderr, done.stderr
    numbers = json.loads((run / "trackers.json").read_text())
    assert set(numbers) == set(TRACKERS)

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    folder = next((tmp_path / "mlflow").glob(f"*/{numbers['mlflow']}"))
    logged = [float(line.split()[1]) for line in (folder / "metrics/train/loss").read_text().splitlines()]
    assert logged == pytest.approx(losses, rel=1e-4)
    assert (folder / "params/train.lr").exists() and list(folder.glob("artifacts/images/*.png"))
    assert "status: 3" in (folder / "meta.yaml").read_text()  # finished

    wandb = next((run / "wandb").glob(f"*/run-{numbers['wandb']}.wandb")).read_bytes()
    assert b"train/loss" in wandb and b"val/AP" in wandb and list((run / "wandb").glob("*/files/media/images/*.png"))
    clearml = _content((tmp_path / "clearml").rglob(f"{numbers['clearml']}.zip"))
    assert b"images_per_second" in clearml and b"train.lr" in clearml
    comet = _content((tmp_path / "comet").glob(f"{numbers['comet']}*.zip"))
    assert b"train/loss" in comet and b"detections | ground truth" in comet


class Failing(Tracker):
    name, package = "failing", "json"
    calls = 0

    def begin(self, known):
        self.known = known
        return "7"

    def log(self, values, iteration):
        self.calls += 1
        raise ConnectionError("the service\nis down")

    def end(self):
        raise AssertionError("it was given up")


def test_a_service_that_fails_is_told_no_more_and_the_training_goes_on(tmp_path, capsys):
    tracker = Failing(tmp_path, {})
    tracker.on_start(0, 2)
    for iteration in (1, 2):
        tracker.on_report(iteration, {"loss": 1.0})
    tracker.on_picture("x", 2, np.zeros((2, 2, 3), np.uint8))
    tracker.on_end()
    assert tracker.calls == 1
    assert capsys.readouterr().err == "failing has failed and is told no more: ConnectionError: the service is down\n"
    again = Failing(tmp_path, {})
    again.on_start(2, 4)
    assert again.known == "7"  # a resumed run goes on in the same one
    new = Failing(tmp_path, {})
    new.on_start(0, 4)
    assert new.known is None


def test_a_package_that_is_not_there_and_a_service_that_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="mlflow needs the package mlflow; pip install mlflow"):
        trackers.trackers(["mlflow"], tmp_path, {})
    refusing = Failing(tmp_path, {})
    monkeypatch.setattr(Failing, "begin", lambda self, known: 1 / 0)
    with pytest.raises(InputError, match="train.trackers: failing cannot begin: ZeroDivisionError"):
        refusing.on_start(0, 1)
