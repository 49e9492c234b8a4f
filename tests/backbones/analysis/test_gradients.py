"""Gradient norms against a backward pass, and the net as it was."""

import copy

import pytest
import torch
import torch.nn.functional as F

from backbones.analysis.gradients import gradient_norms, layer_gradient_norms
from backbones.nets import make_net

STAGES = {"stem": ["conv1"], "stage 2": ["layer1."], "stage 3": ["layer2."], "stage 4": ["layer3."]}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 3, 16, 16), torch.randint(10, (6,))


def norm_of(tensors) -> float:
    return float(torch.cat([t.double().flatten() for t in tensors]).norm())


@pytest.mark.parametrize("shortcut", ["A", "C"])
@pytest.mark.parametrize("relative", [False, True])
def test_equal_a_backward_pass(shortcut, relative):
    pixels, labels = batch()
    net = make_net("cifar_resnet14", 10, shortcut=shortcut, width=4).eval()
    by_stage, by_layer = (f(net, pixels, labels, relative) for f in (gradient_norms, layer_gradient_norms))
    net.train()
    F.cross_entropy(net(pixels), labels).backward()
    weights = {n: p for n, p in net.named_parameters() if p.dim() > 1}
    for stage, starts in {**STAGES, "classifier": ["linear"]}.items():
        own = [p for n, p in weights.items() if n.startswith(tuple(starts))]
        wanted = norm_of([p.grad for p in own]) / (norm_of([p.detach() for p in own]) if relative else 1)
        assert by_stage[stage] == pytest.approx(wanted, rel=1e-6)
    assert list(by_stage) == [*STAGES, "classifier"]
    assert len(by_layer) == 14 and list(by_layer)[0] == "conv1" and list(by_layer)[-1] == "linear"
    for name, found in by_layer.items():
        p = weights[f"{name}.weight"]
        scale = norm_of([p.detach()]) if relative else 1
        assert found == pytest.approx(norm_of([p.grad]) / scale, rel=1e-6)


@pytest.mark.parametrize("rematerialise", [False, True])
def test_net_is_bit_identical_afterwards(rematerialise):
    pixels, labels = batch()
    net = make_net("cifar_resnet14", 10, width=4, rematerialise=rematerialise).eval()
    net.layer1.train()
    net.conv1.weight.grad = torch.ones_like(net.conv1.weight)
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    first = gradient_norms(net, pixels, labels)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert bool((net.conv1.weight.grad == 1).all()) and net.linear.weight.grad is None
    assert gradient_norms(net, pixels, labels) == first
    with pytest.raises(RuntimeError):
        gradient_norms(net, pixels[:, :2], labels)
    assert [m.training for m in net.modules()] == modes


def test_frozen_weights_have_the_same_norms():
    pixels, labels = batch()
    net = make_net("cifar_resnet14", 10, width=4)
    wanted = layer_gradient_norms(net, pixels, labels)
    net.requires_grad_(False)
    with torch.no_grad():
        assert layer_gradient_norms(net, pixels, labels) == wanted
    assert not any(p.requires_grad for p in net.parameters())
