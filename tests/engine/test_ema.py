"""Averaged weights."""

import torch
from torch import nn

from detection.engine.ema import AveragedModel


def constant(value: float) -> nn.Module:
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, value)
    return net


def test_early_averages_follow_fast_later_ones_by_the_decay():
    average = AveragedModel(constant(0.0), decay=0.15)
    average.update(constant(1.0))  # keeps 1/10
    torch.testing.assert_close(average.module.weight.item(), 0.9)
    average.update(constant(0.0))  # would keep 2/11, but the decay says 0.15
    torch.testing.assert_close(average.module.weight.item(), 0.135)


def test_buffers_follow_too_and_counters_are_copied():
    net = nn.BatchNorm1d(2)
    average = AveragedModel(net, decay=0.5)
    net(torch.full((4, 2), 10.0))  # running mean 1, one batch tracked
    average.update(net)
    torch.testing.assert_close(average.module.running_mean, torch.full((2,), 0.9))
    assert average.module.num_batches_tracked == 1
    assert not average.module.training and not any(p.requires_grad for p in average.module.parameters())


def test_the_trained_model_is_untouched():
    net = constant(3.0)
    average = AveragedModel(constant(0.0), decay=0.9)
    average.update(net)
    assert net.weight.item() == 3.0 and net.weight.requires_grad


def test_a_restart_goes_on_where_it_stopped():
    average, resumed = AveragedModel(constant(0.0), 0.9), AveragedModel(constant(5.0), 0.9)
    for _ in range(3):
        average.update(constant(1.0))
    resumed.load_state_dict(average.state_dict())
    for each in (average, resumed):
        each.update(constant(2.0))
    assert torch.equal(average.module.weight, resumed.module.weight)
