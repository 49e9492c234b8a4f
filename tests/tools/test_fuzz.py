"""A short run of the fuzzer: every kind of damaged file is taken or refused in one line, and a failure is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

TOOL = Path(__file__).parents[2] / "tools/fuzz.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *options], capture_output=True, text=True)


def test_a_few_hundred_damaged_files_are_taken_or_refused_in_one_line(tmp_path: Path) -> None:
    done = run("--count", "75", "--seed", "1", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    targets = json.loads((tmp_path / "fuzz.json").read_text())["targets"]
    assert set(targets) == {"coco", "voc", "yolo", "image", "checkpoint", "pickle", "proposals", "config", "results"}
    for name, row in targets.items():
        assert row["cases"] >= 25 and row["outcomes"]["refused"] > 0 and row["failures"] == [], name
    assert "| coco |" in (tmp_path / "fuzz.md").read_text()


def test_a_case_is_repeated_by_its_number() -> None:
    assert json.loads(run("--only", "coco:3").stdout)["outcome"] in ("accepted", "refused")
    assert run("--kind", "nothing").returncode == 2
