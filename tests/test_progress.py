"""Work that takes longer than a moment is told; what is quick, and a library's call, is silent."""

import shutil

import pytest

from detection import progress
from detection.cli.main import main
from detection.cli.progress import progress_on_terminal
from detection.progress import shown_by, track


def test_only_work_that_takes_long_is_told_and_always_its_end(monkeypatch):
    told = []
    clock = iter([0.0, 1.0, 2.5, 9.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with shown_by(lambda *step: told.append(step)):
        assert list(track("abc", "reading", 3)) == ["a", "b", "c"]
    assert told == [("reading", 1, 3), ("reading", 2, 3), ("reading", 3, 3)]
    assert list(track("ab", "reading", 2)) == ["a", "b"] and len(told) == 3


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("evaluate --checkpoint {run}/best.pt", "validating: "),
        ("evaluate --checkpoint {run}/best.pt --flip", "evaluating: "),
        ("predict --checkpoint {run}/best.pt --output {out} {data}/val", "predicting: 0 of 3"),
        ("train --resume {run}", "checking images: "),
        ("check-data --data {data}", "checking images: "),
    ],
)
def test_every_long_part_of_a_command_is_told(trained, shapes, tmp_path, monkeypatch, capsys, command, what):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    run = shutil.copytree(trained, tmp_path / "run")
    words = command.format(run=run, data=shapes, out=tmp_path / "out").split()
    assert main(words) in (0, 1)
    assert what in capsys.readouterr().err


def test_lines_are_told_now_and_then_and_never_from_other_processes(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    with progress_on_terminal():
        assert sum(track(range(100), "adding", 100)) == 4950
    assert capsys.readouterr().err == "adding: 0 of 100\n"
    monkeypatch.setenv("RANK", "1")
    with progress_on_terminal():
        assert sum(track(range(100), "adding", 100)) == 4950
    assert capsys.readouterr().err == ""
