"""The table of choices: one thing differs in each row, nothing is trained twice, and what was interrupted goes on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from detection.errors import InputError
from tools import choices


@pytest.fixture
def calls(monkeypatch, shapes, tmp_path):
    """The words of each training, which leaves AP .5; and the tool on the shapes."""
    seen: list[list[str]] = []

    real = subprocess.run

    def train(words, **options):
        if words[0] == "git":  # which the report asks for the revision
            return real(words, **options)
        seen.append(words[1:])
        folder = Path(next(w.partition("=")[2] for w in words if w.startswith(("--output=", "--resume="))))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps({"stats": {"AP": 0.5, "AP50": 0.75}}))
        (folder / "results.csv").write_text("iteration,AP\n7,.4\n9,.5\n")
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", train)
    places = [f"--output={tmp_path / 'runs'}", f"--results={tmp_path / 'results'}"]
    words = [f"--data=toy={shapes}", "--weights=r18.pt", "--time=1m", "--size=64", *places]
    return seen, lambda work, *more: choices.main([work, *words, *more])


def test_each_row_differs_in_one_thing_and_runs_once(calls, tmp_path):
    seen, call = calls
    assert call("choices") == 0
    plain = {w for w in seen[0] if not w.startswith("--output=")}
    rows = [{w for w in words if not w.startswith("--output=")} - plain for words in seen]
    assert len(seen) == len({**choices.OFF, **choices.OFFERED}) and rows[0] == set() and all(rows[1:])
    table = (tmp_path / "results" / "choices_toy.md").read_text()
    assert "| as chosen | 0.500 |  | 0.750 | 9 | 1 |" in table and "| AdamW |" in table
    count = len(seen)
    assert call("choices") == 0 and len(seen) == count
    folder = tmp_path / "runs" / "toy_1m_64" / "AdamW" / "0"
    (folder / "evaluation.json").unlink()
    (folder / "config.yaml").touch()
    assert call("choices") == 0 and len(seen) == count + 1
    assert seen[-1] == ["-m", "detection", "train", f"--resume={folder}"]
    assert call("choices", "--time=2m") == 0 and len(seen) == 2 * count + 1  # runs of another length are no results


def test_both_sides_have_the_same_time_size_weights_and_seeds(calls, tmp_path):
    seen, call = calls
    assert call("against", "--seeds=2") == 0
    for k, (own, peer) in enumerate(zip(seen[::2], seen[1::2])):
        assert {"--time=1m", f"--seed={k}", "--weights=r18.pt", "--size=64"} <= set(own)
        assert {"--time=1m", f"--seed={k}", "--model.weights=r18.pt", "--input.test_short_side=64"} <= set(peer)
        assert peer[0].endswith("compare_torchvision.py")
    assert "| torchvision | 0.500 | 0.500 to 0.500 |" in (tmp_path / "results" / "against_toy.md").read_text()


def test_a_dataset_without_a_name_is_refused(calls):
    with pytest.raises(InputError, match="give NAME=PATH"):
        choices.main(["choices", "--data=somewhere", "--weights=x"])
