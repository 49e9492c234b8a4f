"""Memory that is allocated unfilled is filled before it is read: whatever lies in it, the results are the same."""

import json

import numpy as np
import pytest
import torch
from seen import see

from backbones import winograd

AUGMENTED = '[{"name":"RandomCrop","height":60,"width":72},{"name":"HorizontalFlip","p":0.5},{"name":"RandomGamma"}]'


@pytest.fixture
def littered(monkeypatch):
    """Unfilled arrays of numpy hold 77, unfilled tensors nan or the largest number."""
    empty = np.empty

    def full_of_litter(*arguments, **options):
        made = empty(*arguments, **options)
        made.view(np.uint8).fill(77) if made.dtype != object and made.size and made.ndim else None
        return made

    monkeypatch.setattr(np, "empty", full_of_litter)
    assert np.empty(2, dtype=np.uint8).tolist() == [77, 77]
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.utils.deterministic.fill_uninitialized_memory and torch.isnan(torch.empty(3)).all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def before(shapes, tiny, classes, small, tmp_path):
    """What is found where unfilled memory holds whatever it holds."""
    return everything(tmp_path / "before", shapes, tiny, classes, small)


def everything(folder, shapes, tiny, classes, small):
    """A detector's and a classifier's training, an evaluation with improvements, a prediction."""
    options = [f"--input.augment={AUGMENTED}", "--train.accumulate=2", "--evaluate.batch=2", "--train.ema=0.9"]
    run = folder / "run"
    trained = see(run, ["train", *tiny, f"--data={shapes}", "--output={out}", *options])
    scales = ["--flip", "--refine", "--scales", "48", "96", "--output={out}"]
    improved = see(folder / "evaluation", ["evaluate", f"--checkpoint={run}/best.pt", *scales])
    predict = ["predict", str(shapes / "val"), f"--checkpoint={run}/best.pt", "--batch=2", "--output={out}"]
    predicted = see(folder / "found", [*predict, "--score=0.1"])
    pretrained = see(folder / "classifier", ["pretrain", *small, f"--data={classes}", "--output={out}"])
    return {
        "status": [seen.status for seen in (trained, improved, predicted, pretrained)],
        "training": (trained.weights, trained.curves, trained.predictions),
        "improved": json.loads((folder / "evaluation" / "predictions.json").read_text()),
        "predicted": json.loads((folder / "found" / "predictions.json").read_text()),
        "classifier": (pretrained.weights, pretrained.curves),
    }


def test_what_lies_in_unfilled_memory_changes_nothing(before, littered, shapes, tiny, classes, small, tmp_path):
    assert before["status"] == [0, 0, 0, 0]
    assert before == everything(tmp_path / "after", shapes, tiny, classes, small)


def test_winograd_fills_what_it_allocates(littered):
    torch.manual_seed(0)
    x, weight = torch.rand(2, 16, 21, 13).to(memory_format=torch.channels_last), torch.randn(8, 16, 3, 3)
    found = winograd.convolve(x, winograd.transform_filter(weight), torch.zeros(8))
    torch.testing.assert_close(found, torch.nn.functional.conv2d(x, weight, padding=1), rtol=1e-4, atol=1e-4)
