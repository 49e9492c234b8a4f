"""Runs that go on from their checkpoint: by the clock, with AdamW, with images that are repeated."""

import pytest
import torch

from detection import checkpoint
from detection.config.read import read_config
from detection.config.schema import Config
from detection.training.detector import DetectionObjective
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
    train(read_config([*options, "--train.time=6s", "--resume=true"], Config))
    last = checkpoint.load(tmp_path / "run" / "last.pt", "detection")
    assert first["iteration"] == 5 < last["iteration"]
    assert last["training"]["length"]["seconds"] == 6 and last["training"]["length"]["pace"]["spent"] < 12
    changed = [not torch.equal(a, b) for a, b in zip(first["model"].values(), last["model"].values())]
    assert sum(changed) > 10


def flat(content, name=""):
    """Name -> tensor or number, of nested dicts and lists."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = {key: value for k, v in pairs for key, value in flat(v, f"{name}.{k}").items()}
    return found or {name: content}


@pytest.mark.parametrize(
    "options",
    [["--train.optimizer=adamw"], ["--dataset.repeat_factor=0.9"], ["--input.tile=48", "--input.tile_empty=0.3"]],
    ids=["adamw", "repeat", "tiles"],
)
def test_six_steps_equal_three_a_kill_and_three_more(options, shapes, tiny, tmp_path, monkeypatch):
    options = [*tiny, f"--data={shapes}", "--train.iterations=6", "--train.checkpoint_every=3", *options]
    train(read_config([*options, f"--output={tmp_path / 'whole'}"], Config))
    steps, losses = [], DetectionObjective.losses

    def killed(self, model, batch):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return losses(self, model, batch)

    monkeypatch.setattr(DetectionObjective, "losses", killed)
    with pytest.raises(KeyboardInterrupt):
        train(read_config([*options, f"--output={tmp_path / 'parts'}"], Config))
    monkeypatch.undo()
    train(read_config([*options, f"--output={tmp_path / 'parts'}", "--resume=true"], Config))
    one, other = (flat(checkpoint.load(tmp_path / k / "last.pt", "detection")["training"]) for k in ("whole", "parts"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        assert same, name
