"""The command line itself: instant help, one line and status 2 for bad usage, scripts that are the same commands."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from detection import __version__
from detection.cli.main import COMMANDS, main
from detection.threads import POLICIES

WITHOUT_DEVICE = ("export", "convert", "check-data", "configs", "prepare-data", "reproduce")
"""Commands that compute on the CPU alone, or take the settings of `frcnn train`."""
TOOLS = Path(__file__).parents[2] / "tools"


def test_help_is_instant_because_nothing_heavy_is_imported():
    code = "import sys; from detection.cli.main import main; main(['--help']); "
    code += "print([m for m in ('torch', 'numpy', 'jsonargparse') if m in sys.modules])"
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.monotonic() - began)
    assert done.stdout.splitlines()[-1] == "[]" and all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert statistics.median(seconds) < 0.5


def test_help_of_no_command_imports_torch():
    code = "import sys; from detection.cli.main import COMMANDS, EXPERIMENTS, main; "
    code += "print([c for c in [*COMMANDS, *EXPERIMENTS] if main([c, '--help']) or 'torch' in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("given", "policy"), [({}, "PASSIVE"), ({"GOMP_SPINCOUNT": "9"}, None)])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(given, policy):
    code = "import os, sys; from detection.cli.main import main; main(['predict']); "
    code += "print(os.environ.get('OMP_WAIT_POLICY'))"
    environment = {k: v for k, v in os.environ.items() if k not in POLICIES} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == str(policy), done.stderr


def test_another_package_of_our_name_is_warned_of(tmp_path):
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "__init__.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from detection.cli.main import main; main(['configs'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"warning: backbones is {tmp_path / 'backbones'}, another package" in done.stderr
    assert (
        "warning"
        not in subprocess.run([sys.executable, "-m", "detection", "configs"], capture_output=True, text=True).stderr
    )


def test_no_argument_is_help_and_the_version_is_told(capsys):
    assert main([]) == 0 and "usage: frcnn" in capsys.readouterr().out
    assert main(["--version"]) == 0 and f"frcnn {__version__}\n" in (told := capsys.readouterr().out)
    assert f"torch {torch.__version__}\n" in told
    assert f"instruction_set {torch.backends.cpu.get_cpu_capability()}\n" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: frcnn {command}" in text
    assert "--device" in text or command in WITHOUT_DEVICE


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("trian", "there is no command 'trian'; commands are train, evaluate, "),
        ("train", "data: give --data PATH"),
        ("train --data nowhere", "nowhere: there is no such file or folder"),
        ("train --data shapes --train.lrr 3", "--train.lrr"),
        ("train --data shapes --train.lr", "--train.lr"),
        ("train --data shapes --device tpu9", "device: 'tpu9' is not a device"),
        ("evaluate", "give either --checkpoint FILE or --predictions FILE"),
        ("evaluate --checkpoint nowhere.pt", "nowhere.pt: no such checkpoint"),
        ("evaluate --checkpoint a.pt --batch 0", "--batch: 0 is below 1"),
        ("evaluate --predictions a.json", "--data"),
        ("predict", "images, --checkpoint"),
        ("predict --checkpoint a.pt nowhere.jpg", "nowhere.jpg: no such image"),
        ("predict --checkpoint a.pt a.jpg --score 2", "--score: 2 is not between 0 and 1"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(line, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("frcnn: error: ") and error.count("\n") == 1 and named in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_script_is_the_same_command(command):
    done = subprocess.run([sys.executable, TOOLS / f"{command}.py", "--nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("frcnn: error: ") and done.stderr.count("\n") == 1
