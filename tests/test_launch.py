"""`--processes N` starts the processes itself, by torch's launcher, and ends with their status and their one line."""

import os
import subprocess
import sys

import pytest
import torch

from detection import checkpoint
from detection.errors import InputError
from detection.launch import launch

pytestmark = pytest.mark.thorough


def frcnn(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "detection", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)


def test_two_processes_train_one_detector(tiny, shapes, tmp_path):
    done = frcnn("train", *tiny, f"--data={shapes}", f"--output={tmp_path / 'run'}", "--processes=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("iterations 0 to 2") == 1  # the first process alone speaks
    assert checkpoint.load(tmp_path / "run/best.pt", "detection")["iteration"] > 0


def test_what_is_wrong_is_said_once_with_its_status(tiny, shapes, tmp_path):
    options = (f"--output={tmp_path / 'run'}", "--processes=2", "--train.batch=3")
    done = frcnn("train", *tiny, f"--data={shapes}", *options)
    assert done.returncode == 2
    assert done.stderr.count("3 images cannot be shared by 2 processes") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "run/config.yaml").exists()


@pytest.mark.parametrize(
    ("processes", "device", "message"),
    [
        (3, "auto", "3 asked for, but this machine has 2 GPUs"),
        (2, "cuda:1", "cuda:1 names one GPU, and processes is 2; use cuda"),
        (2, "mps", "mps is one device"),
    ],
)
def test_more_processes_than_devices_are_refused(processes, device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=message):
        launch("train", [], processes, device)
