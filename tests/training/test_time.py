"""A run by the clock through its folder."""

import torch

from detection import checkpoint
from detection.config.read import read_config
from detection.config.schema import Config
from detection.training.train import train


def test_a_finished_run_by_time_goes_on_where_more_is_given(shapes, tiny, tmp_path):
    options = [
        *tiny,
        f"--data={shapes}",
        f"--output={tmp_path / 'run'}",
        "--train.iterations=null",
        "--train.schedule=cosine",
        "--train.evaluate_every=null",
    ]
    train(read_config([*options, "--train.time=0.01s"], Config))
    first = checkpoint.load(tmp_path / "run" / "last.pt", "detection")
    train(read_config([*options, "--train.time=3s", "--resume=true"], Config))
    last = checkpoint.load(tmp_path / "run" / "last.pt", "detection")
    assert first["iteration"] == 5 < last["iteration"]
    assert last["training"]["length"]["seconds"] == 3 and last["training"]["length"]["pace"]["spent"] < 5
    changed = [not torch.equal(a, b) for a, b in zip(first["model"].values(), last["model"].values())]
    assert sum(changed) > 10
