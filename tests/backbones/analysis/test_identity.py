"""The sums that identity shortcuts promise, and the gradient's paths, each against all of it."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from backbones.analysis.identity import identities
from backbones.analysis.layers import blocks_of
from backbones.analysis.lesion import computing, removable, without
from backbones.analysis.paths import _on_path, path_lengths, shares
from backbones.nets import make_net


def settled(name):
    torch.manual_seed(0)
    net, x, labels = make_net(name, 5, width=4), torch.randn(6, 3, 16, 16), torch.arange(6) % 5
    net(x)
    return net.eval(), x, labels


@pytest.mark.parametrize(
    ("name", "holds"), [("cifar_preact_resnet20", True), ("cifar_resnet20", False), ("cifar_plain20", False)]
)
def test_maps_and_gradients_are_sums_where_nothing_follows_the_addition(name, holds):
    net, x, labels = settled(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    stages = identities(net, x, labels)
    assert [(s.stage, s.blocks) for s in stages] == [("layer1", 2), ("layer2", 2), ("layer3", 2)]
    assert all((s.forward < 1e-12 and s.backward < 1e-12) == holds for s in stages)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_preact_resnet8"])
def test_all_paths_together_are_the_gradient(name):
    net, x, labels = settled(name)
    x.requires_grad_()
    blocks = list(blocks_of(net).values())

    def gradient():
        return torch.autograd.grad(F.cross_entropy(net(x), labels), x)[0]

    total = torch.zeros_like(x)
    for length in range(len(blocks) + 1):
        for through in combinations(blocks, length):
            with _on_path(blocks, list(through)):
                total += gradient()
    torch.testing.assert_close(total, gradient(), rtol=1e-4, atol=1e-7)


def test_shares_of_lengths_and_the_shortest_run_that_carries_most():
    found = shares([4.0, 2.0, 1.0])  # 1, 2 and 1 paths
    assert found.paths == (0.25, 0.5, 0.25) and found.gradient == pytest.approx((4 / 9, 4 / 9, 1 / 9))
    assert found.central(0.8) == (0, 1) and found.central(1.0) == (0, 2)
    net, x, labels = settled("cifar_preact_resnet14")
    assert len(path_lengths(net, [(x, labels)], 2, 0).gradient) == 7
    with pytest.raises(ValueError, match="no residual blocks"):
        path_lengths(*settled("cifar_plain8")[:1], [(x, labels)], 2, 0)


@torch.no_grad()
def test_a_preactivation_block_without_its_convolutions_is_its_shortcut():
    net, x, _ = settled("cifar_preact_resnet14")
    assert removable(net) == [f"layer{i}.{j}" for i in (1, 2, 3) for j in (0, 1)]
    with without(net, "layer2.1"):
        found = net(x)
    with computing({net.layer2[1]: lambda y: y}):
        assert torch.equal(found, net(x))
    assert not torch.equal(found, net(x))
