"""Nets by name, the CIFAR nets, and training with activations computed again."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backbones.blocks import BlockOptions
from backbones.cifar import CifarNet
from backbones.nets import make_net, stages_of
from backbones.norm import recompute_statistics
from backbones.resnet import ResNet


@pytest.mark.parametrize("depth", [20, 56])
def test_published_cifar_weights_load_by_key(shared, depth):
    net = make_net(f"cifar_resnet{depth}", 10)
    net.load_state_dict(torch.load(shared / f"data/cifar_resnets/resnet{depth}.pt", weights_only=True))


@pytest.mark.parametrize("family", ["resnet18", "resnet50", "cifar_resnet14"])
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_every_shortcut_has_its_projections(family, shortcut):
    net = make_net(family, 5, shortcut, width=8)
    projections = [name for name, m in net.named_modules() if name.endswith("downsample.0")]
    blocks = [name for name, m in net.named_modules() if name.endswith("conv1") and "." in name]
    changes = {"resnet18": 3, "resnet50": 4, "cifar_resnet14": 2}[family]
    assert len(projections) == {"A": 0, "B": changes, "C": len(blocks)}[shortcut]
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 5)


def test_a_plain_net_is_the_residual_net_without_its_shortcut():
    plain, residual = make_net("plain18", 5, width=4), make_net("resnet18", 5, "A", width=4)
    assert plain.state_dict().keys() == residual.state_dict().keys()
    residual.load_state_dict(plain.state_dict())
    for module in residual.modules():
        if hasattr(module, "downsample"):
            module.plain = True
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(residual.eval()(x), plain.eval()(x), rtol=0, atol=0)


def test_option_a_takes_every_second_pixel_and_pads_with_zero_channels():
    block = CifarNet(8, width=4, options=BlockOptions(shortcut="A")).layer2[0]
    x = torch.randn(1, 4, 6, 6)
    expected = torch.zeros(1, 8, 3, 3)
    expected[:, 2:6] = x[:, :, ::2, ::2]
    assert torch.equal(block.downsample(x), expected)


@pytest.mark.parametrize(
    ("name", "shortcut", "message"),
    [
        ("cifar_resnet21", None, "net 'cifar_resnet21': depth 21 is not 6n\\+2; the nearest is 20 or 26"),
        ("cifar_plain2", None, "depth 2 is not 6n\\+2; the nearest is 8"),
        ("resnet20", None, "net 'resnet20' is unknown; known are resnet18, .*cifar_resnetN"),
        ("vgg", None, "net 'vgg' is unknown"),
        ("plain34", "A", "shortcut A: a plain net has no shortcuts"),
        ("resnet34", "D", "shortcut 'D': a residual net has A, B, C"),
        ("resnet34", "none", "shortcut 'none': a residual net has A, B, C"),
    ],
)
def test_a_net_that_does_not_exist_is_refused(name, shortcut, message):
    with pytest.raises(ValueError, match=message):
        make_net(name, 10, shortcut)


@pytest.mark.parametrize("name", ["resnet18", "cifar_resnet8", "preact_resnet18"])
def test_weights_begin_by_fan_in_or_fan_out(name):
    torch.manual_seed(0)
    for fan_in in (False, True):
        conv = make_net(name, 5, fan_in=fan_in).layer2[0].conv1  # twice as many outputs as inputs
        fan = 9 * (conv.in_channels if fan_in else conv.out_channels)
        assert float(conv.weight.detach().std()) == pytest.approx((2 / fan) ** 0.5, rel=0.05)


def test_stages_name_every_module_from_the_image_to_the_classifier():
    for net in (make_net("resnet18", 3, width=4), make_net("cifar_plain8", 3)):
        children = [name for names in stages_of(net).values() for name in names]
        assert children == [name for name, _ in net.named_children()]
    assert isinstance(net, CifarNet) and not isinstance(net, ResNet)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("cifar_resnet26", "batch"), ("cifar_plain14", "group"), ("cifar_plain14", "sync"), ("resnet50", "batch")],
)
def test_rematerialised_training_is_the_same_bit_for_bit(name, norm):
    states = []
    for rematerialise in (False, True):
        torch.manual_seed(0)
        net = make_net(name, 10, width=4, norm=norm, rematerialise=rematerialise)
        x, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
        F.cross_entropy(net(x), labels).backward()
        states.append({**net.state_dict(), **{f"gradient of {n}": p.grad for n, p in net.named_parameters()}})
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_recomputed_statistics_are_those_of_the_images():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    batches = [torch.randn(8, 3, 5, 5) for _ in range(5)]
    recompute_statistics(net, batches)
    seen = torch.cat([net[0](batch) for batch in batches]).detach()
    torch.testing.assert_close(net[1].running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net[1].running_var, seen.var((0, 2, 3)), rtol=2e-2, atol=0)
    assert net[1].momentum == 0.1 and not net.training
