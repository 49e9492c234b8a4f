"""What a run writes down, and what of it a resumed run keeps."""

import csv
import json

from detection.engine.callback import Callbacks
from detection.engine.metric_files import MetricFiles
from detection.engine.terminal import Terminal


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def rows_of(folder):
    return list(csv.DictReader((folder / "results.csv").open()))


def written(folder, until=4, start=0):
    """A report an iteration and an evaluation at every second one, from `start` on."""
    told = Callbacks([Terminal(), MetricFiles(folder)])
    told.on_start(start, total=6)
    for i in range(start + 1, until + 1):
        told.on_report(i, {"loss": 1.0 / i, "lr": 0.1, "images_per_second": 5.0})
        if i % 2 == 0:
            told.on_evaluation(i, {"AP": i / 10})
    told.on_end()


def test_a_line_per_report_and_a_row_per_evaluation(tmp_path, capsys):
    written(tmp_path)
    assert lines_of(tmp_path)[0] == {"kind": "train", "iteration": 1, "loss": 1.0, "lr": 0.1, "images_per_second": 5.0}
    assert rows_of(tmp_path) == [{"iteration": "2", "AP": "0.2"}, {"iteration": "4", "AP": "0.4"}]
    assert "3/6  loss 0.333  lr 0.1  5.0 images/s  ETA" in capsys.readouterr().out


def test_a_resumed_run_cuts_what_lies_past_its_checkpoint(tmp_path):
    written(tmp_path, until=5)
    written(tmp_path, until=6, start=3)
    assert [r["iteration"] for r in lines_of(tmp_path) if r["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [r["iteration"] for r in rows_of(tmp_path)] == ["2", "4", "6"]


def test_half_a_line_of_a_killed_run_is_left_out(tmp_path):
    written(tmp_path, until=2)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "iter')
    written(tmp_path, until=3, start=2)
    assert [r["iteration"] for r in lines_of(tmp_path) if r["kind"] == "train"] == [1, 2, 3]


def test_later_evaluations_may_know_more(tmp_path):
    files = MetricFiles(tmp_path)
    files.on_start(0, total=2)
    files.on_evaluation(1, {"AP": 0.1})
    files.on_evaluation(2, {"AP": 0.2, "loss": 1.0})
    assert rows_of(tmp_path)[0] == {"iteration": "1", "AP": "0.1", "loss": ""}
