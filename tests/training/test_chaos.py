"""Runs that are killed at random, as tools/chaos.py does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_runs_end_as_if_nothing_had_happened(kills, tmp_path):
    script = Path(__file__).parents[2] / "tools/chaos.py"
    command = [sys.executable, str(script), f"--kills={kills}", "--iterations=12", f"--results={tmp_path}"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "chaos.json").read_text())
    assert report["resumed"] == report["kills"] == kills and report["identical"] == report["runs"] >= 1
