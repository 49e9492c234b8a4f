"""Weight decay by kind of parameter."""

import copy

import pytest
import torch
from torch import nn

from detection.engine.optimizer import build_optimizer, restore_optimizer


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


def test_biases_learn_at_a_multiple_of_the_rate():
    model = nn.Linear(3, 2)
    groups = build_optimizer(model, 0.1, 0.9, 0.0, 0.0, 0.0, bias_lr=2.0).param_groups
    assert {group["kind"]: group["scale"] for group in groups} == {"weights": 1.0, "biases": 2.0}


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    groups = build_optimizer(model, 0.1, 0.9, 1e-4, 0.0, 1e-4).param_groups
    assert {p for group in groups for p in group["params"]} == set(model[0].parameters())


def steps_of(optimizer, model, count):
    for k in range(count):
        torch.manual_seed(k)
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_optimiser_is_torchs_and_goes_on_from_its_state(kind):
    make = {"sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9), "adamw": lambda p: torch.optim.AdamW(p, 0.01)}
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    peer, other = copy.deepcopy(model), copy.deepcopy(model)
    decay = 0.01 if kind == "adamw" else 0.0
    own = build_optimizer(model, 0.01, 0.9, decay, 0.0, decay, kind=kind)
    wanted = steps_of(make[kind](peer.parameters()), peer, 4)
    first = build_optimizer(other, 0.01, 0.9, decay, 0.0, decay, kind=kind)
    steps_of(first, other, 2)
    again = build_optimizer(other, 0.01, 0.9, decay, 0.0, decay, kind=kind)
    restore_optimizer(again, first.state_dict())
    for k in (2, 3):
        torch.manual_seed(k)
        other(torch.randn(4, 3)).square().sum().backward()
        again.step()
        again.zero_grad()
    for ours, theirs, resumed in zip(steps_of(own, model, 4), wanted, other.parameters()):
        torch.testing.assert_close(ours, theirs)
        assert torch.equal(ours, resumed)
