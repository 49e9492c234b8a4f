"""The results of docs/results.md: minutes on a CPU, so `make test-slow` runs them."""

import json
import os
from pathlib import Path

import pytest
import torch

from detection.cli.main import main

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.fixture(autouse=True)
def all_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


def ap50_of(run: Path) -> float:
    return json.loads((run / "evaluation.json").read_text())["stats"]["AP50"]


@pytest.mark.slow
def test_quickstart_learns_the_embedded_dataset(tmp_path):
    assert main(["train", f"--config={CONFIGS / 'quickstart.yaml'}", f"--output={tmp_path}"]) == 0
    assert ap50_of(tmp_path) >= 0.80


@pytest.mark.slow
def test_blood_cells_from_tiny_imagenet_weights(shared, tmp_path):
    weights = shared / "data/resnet18_tiny_imagenet.pt"
    options = [f"--data={shared / 'data/bccd'}", f"--model.weights={weights}", f"--output={tmp_path}"]
    assert main(["train", f"--config={CONFIGS / 'bccd.yaml'}", *options]) == 0
    assert ap50_of(tmp_path) >= 0.85
