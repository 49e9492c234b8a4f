"""Weight decay by kind of parameter."""

from torch import nn

from detection.engine.optimizer import build_optimizer


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
