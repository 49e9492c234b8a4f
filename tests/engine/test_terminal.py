"""What a training shows where its output is no terminal."""

from detection.engine import terminal as showing
from detection.engine.length import UNKNOWN
from detection.engine.terminal import Terminal

PACE = {"images_per_second": 5.0}


def test_the_line_says_where_the_run_is_what_it_takes_and_what_it_waits_for(capsys):
    terminal = Terminal(steps_per_epoch=4)
    terminal.on_start(0, total=6)
    terminal.on_report(2, {"loss": 1.0, "lr": 0.1, **PACE, "waiting": 0.1, "memory_gib": 3.0})
    terminal.on_report(3, {"loss": 1.0, "lr": 0.1, **PACE, "waiting": 0.35})
    terminal.on_end()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("2/6  loss 1.000  lr 0.1  5.0 images/s  epoch 0.5  3.0 GiB  ETA ")
    assert "5.0 images/s  epoch 0.8  waiting for images 35%  ETA" in second


def test_steps_that_take_long_are_told_without_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(showing, "QUIET", 0.0)
    terminal = Terminal()
    for total in (UNKNOWN, 6):  # a run by time knows its length after some steps
        terminal.on_start(0, total)
        terminal.on_step(1)
    monkeypatch.setattr(showing, "QUIET", 60.0)
    terminal.on_step(2)
    assert capsys.readouterr().out.splitlines() == ["iteration 1", "iteration 1 of 6"]
