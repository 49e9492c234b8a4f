"""Weight decay by kind of parameter, and the learning rate worked out by hand."""

import pytest
from torch import nn

from detection.engine.optimizer import LearningRate, build_optimizer


def test_weights_norms_and_biases_have_their_own_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Linear(4, 2, bias=False))
    optimizer = build_optimizer(model, 0.1, 0.9, weight_decay=0.3, norm_decay=0.2, bias_decay=0.1)
    decay = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    names = {name: decay[p] for name, p in model.named_parameters()}
    assert names == {
        "0.weight": 0.3,
        "0.bias": 0.1,
        "1.weight": 0.2,
        "1.bias": 0.2,
        "2.weight": 0.2,
        "2.bias": 0.2,
        "3.weight": 0.3,
    }


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    groups = build_optimizer(model, 0.1, 0.9, 1e-4, 0.0, 1e-4).param_groups
    assert {p for group in groups for p in group["params"]} == set(model[0].parameters())


def test_steps_after_their_shares():
    rate = LearningRate(0.8, total=90, kind="step", steps=(2 / 3, 8 / 9), gamma=0.5)
    assert [rate(s) for s in (0, 59, 60, 79, 80, 89)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_warmup_is_linear_from_its_factor():
    rate = LearningRate(1.0, total=100, warmup=10, warmup_factor=0.1)
    assert [rate(s) for s in (0, 5, 10, 99)] == pytest.approx([0.1, 0.55, 1.0, 1.0])


def test_cosine_falls_to_zero_under_the_warmup():
    rate = LearningRate(2.0, total=8, kind="cosine", warmup=4, warmup_factor=0.0)
    assert [rate(s) for s in (0, 2, 4, 6, 8, 9)] == pytest.approx([0, 0.5 * (1 + 2**-0.5), 1, 1 - 2**-0.5, 0, 0])
