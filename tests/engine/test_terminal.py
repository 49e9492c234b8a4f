"""What a training shows where its output is no terminal."""

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
