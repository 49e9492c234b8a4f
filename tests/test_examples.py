"""The examples do what they say. Others are tested beside what they use: tests/serve, tests/export."""

import json
import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_loop_of_ones_own_learns():
    losses = runpy.run_path(str(EXAMPLES / "own_loop.py"))["main"](epochs=2)
    assert losses[-1] < losses[0]


def test_every_cell_of_the_notebook_runs(tiny, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / "first_detector.ipynb").read_text())["cells"]
    first, *others = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    exec(first, names)
    small = dict(option.removeprefix("--").split("=", 1) for option in tiny)
    names |= {"DATA": str(shapes), "OPTIONS": {"settings": small}}
    for cell in others:
        exec(cell, names)
    assert names["run"].metrics and len(names["found"].boxes) <= 100
