"""Parameters, multiply-adds and kept activations against the paper and against counting by hand."""

import copy
from dataclasses import replace

import pytest
import torch

from backbones.analysis.complexity import PAPER, complexity
from backbones.nets import NetName, make_net


def build(name: str, **options):
    with torch.device("meta"):
        return make_net(name, 10 if NetName.parse(name).cifar else 1000, stride_in_1x1=True, **options)


@pytest.mark.parametrize("name", list(PAPER))
def test_sizes_are_the_papers(name):
    net, published = build(name), PAPER[name]
    if published.parameters is not None:
        millions = sum(p.numel() for p in net.parameters()) / 1e6
        assert round(millions, published.decimals) == published.parameters
    if name == "cifar_resnet1202":  # its shapes take seconds to run
        return
    cost = complexity(net, 32 if "cifar" in name else 224)
    assert cost.depth == NetName.parse(name).depth
    assert cost.weight_bytes == 4 * cost.parameters == 4 * sum(p.numel() for p in net.parameters())
    if published.multiply_adds is not None:
        if name == "vgg16":  # whose fully connected layers the paper leaves out
            cost = replace(cost, multiply_adds=cost.multiply_adds - sum(p.numel() for p in net.classifier.parameters()))
        assert cost.multiply_adds / 1e9 == pytest.approx(published.multiply_adds, abs=0.07)


def test_shortcuts_and_the_place_of_the_stride_cost_what_they_cost():
    plain, zeros = (complexity(net, 224) for net in (build("plain34"), build("resnet34", shortcut="A")))
    assert (plain.parameters, plain.multiply_adds) == (zeros.parameters, zeros.multiply_adds)
    assert plain.blocks == zeros.blocks == (3, 4, 6, 3)
    projections = complexity(build("resnet34", shortcut="B"), 224)
    assert projections.depth == 34
    assert projections.multiply_adds - zeros.multiply_adds == 28**2 * 64 * 128 + 14**2 * 128 * 256 + 7**2 * 256 * 512
    with torch.device("meta"):
        late = make_net("resnet50", 1000, stride_in_1x1=False)
    assert complexity(late, 224).multiply_adds / 1e9 == pytest.approx(4.09, abs=0.005)


def test_kept_activations_equal_a_count_by_hand():
    """The image, what goes into each norm, what comes out of each ReLU, and the classifier's input."""
    by_hand = 3 * 16 * 24 + 2 * 4 * 16 * 24 + 4 * (4 * 16 * 24 + 8 * 8 * 12 + 16 * 4 * 6) + 16
    assert complexity(make_net("cifar_resnet8", 10, width=4), (16, 24)).training_bytes == 4 * by_hand


@pytest.mark.skipif(not hasattr(torch, "accelerator"), reason="before 2.6, torch rematerialises no shapes alone")
def test_rematerialisation_keeps_less_and_computes_the_same():
    kept, again = (complexity(build("cifar_resnet56", rematerialise=flag), 32) for flag in (False, True))
    assert again.training_bytes < kept.training_bytes / 4
    assert again.multiply_adds == kept.multiply_adds


def test_the_net_is_not_touched_and_its_mode_does_not_matter():
    net = make_net("cifar_resnet8", 10, width=4).eval()
    before = copy.deepcopy(net.state_dict())
    evaluated, trained = complexity(net, 8), complexity(copy.deepcopy(net).train(), 8)
    assert evaluated == trained
    assert not any(m.training for m in net.modules()) and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
