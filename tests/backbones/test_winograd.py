import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from backbones import winograd
from backbones.convolution import convolve
from backbones.norm import FrozenNorm, folded


@pytest.fixture(autouse=True)
def few_channels(monkeypatch):
    monkeypatch.setattr(winograd, "CHANNELS", 2)


def close(ours, theirs, share):
    assert ours.shape == theirs.shape
    assert (ours.double() - theirs).abs().max() <= share * theirs.abs().max()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5), st.integers(2, 5), st.integers(2, 5), st.integers(1, 19), st.integers(1, 19), st.integers(1, 60)
)
def test_equals_a_direct_convolution_with_all_gradients(images, inputs, outputs, height, width, block):
    torch.manual_seed(height * 20 + width)
    conv, x = nn.Conv2d(inputs, outputs, 3, padding=1), torch.randn(images, inputs, height, width, requires_grad=True)
    scale, shift = torch.rand(outputs) + 0.5, torch.randn(outputs)
    before, winograd.BLOCK = winograd.BLOCK, block
    try:
        ours = convolve(x, conv, scale, shift)
        grad = torch.randn_like(ours)
        found = torch.autograd.grad(ours, (x, conv.weight, conv.bias), grad)
    finally:
        winograd.BLOCK = before
    parts = [t.detach().double().requires_grad_() for t in (x, conv.weight, conv.bias)]
    theirs = F.conv2d(*parts, padding=1) * scale[:, None, None] + shift[:, None, None]
    close(ours, theirs, 2e-5)
    for mine, wanted in zip(found, torch.autograd.grad(theirs, parts, grad.double())):
        close(mine, wanted, 2e-5)


def test_other_convolutions_are_left_to_torch():
    x = torch.zeros(1, 4, 8, 8)
    for options in ({"stride": 2}, {"dilation": 2, "padding": 2}, {"padding": 0}, {"groups": 2}):
        assert not winograd.suits(nn.Conv2d(4, 4, 3, **{"padding": 1, **options}), x), options
    suited = nn.Conv2d(4, 4, 3, padding=1)
    assert winograd.suits(suited, x) and not winograd.suits(suited.double(), x.double())
    assert not winograd.suits(nn.Conv2d(4, 4, 1), x)


@torch.no_grad()
def test_a_prepared_convolution_sums_and_rectifies():
    torch.manual_seed(0)
    conv, norm, x, add = nn.Conv2d(4, 6, 3, padding=1), FrozenNorm(6), torch.randn(2, 4, 9, 7), torch.randn(2, 6, 9, 7)
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2), norm.weight.normal_(), norm.bias.normal_()
    held = add.clone()
    ours = folded(conv, norm)(x, add, relu=True)
    close(ours, F.relu(norm(conv(x)) + add).double(), 2e-5)
    assert torch.equal(add, held)
