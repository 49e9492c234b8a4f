"""The notebook of the examples. Other examples are tested beside what they use: test_api.py, serve, export."""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_detector.ipynb"


def test_every_cell_of_the_notebook_runs(tiny, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    first, *others = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    exec(first, names)
    small = dict(option.removeprefix("--").split("=", 1) for option in tiny)
    names |= {"DATA": shapes, "OPTIONS": {"settings": small}}
    for cell in others:
        exec(cell, names)
    assert names["run"].metrics and len(names["found"].boxes) <= 100
