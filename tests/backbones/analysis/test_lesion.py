"""A net without a block against one built without it."""

import copy

import pytest
import torch
from torch import Tensor, nn

from backbones.analysis.complexity import complexity
from backbones.analysis.lesion import interchangeable, removable, reordered, without
from backbones.nets import make_net


def settled(name: str, **options):
    """A net in evaluation whose statistics are those of some data, and images."""
    torch.manual_seed(0)
    net = make_net(name, 10, **options)
    x = torch.randn(3, 3, 32, 32)
    net(x)
    return net.eval(), x


class OnlyShortcut(nn.Module):
    def __init__(self, downsample: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.downsample(x))


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_plain20"])
@torch.no_grad()
def test_a_block_less_equals_a_net_built_so(name):
    net, x = settled(name, width=4)
    built = copy.deepcopy(net)
    built.layer2 = nn.Sequential(built.layer2[0], built.layer2[2])
    with without(net, "layer2.1"):
        assert torch.equal(net(x), built(x))
    assert not torch.equal(net(x), built(x))


@pytest.mark.parametrize("name, shortcut", [("cifar_resnet14", "A"), ("resnet18", "B"), ("resnet50", "C")])
@torch.no_grad()
def test_the_shortcut_of_a_stages_first_block_stays(name, shortcut):
    net, x = settled(name, shortcut=shortcut, width=4)
    built = copy.deepcopy(net)
    built.layer2[0] = OnlyShortcut(built.layer2[0].downsample)
    with without(net, "layer2.0"):
        assert torch.equal(net(x), built(x))


def test_what_is_removable():
    residual = [f"layer{i}.{j}" for i in (1, 2, 3) for j in (0, 1)]
    assert removable(make_net("cifar_resnet14", 10, width=4)) == residual
    plain = [name for name in residual if name not in ("layer2.0", "layer3.0")]
    assert removable(make_net("cifar_plain14", 10, width=4)) == plain
    # A bottleneck widens its input fourfold, so that the first of stage 2 changes the shape too.
    assert "layer1.0" not in removable(make_net("plain50", 10, width=4))
    net = make_net("cifar_plain14", 10, width=4)
    for name in ("layer2.0", "layer9.0", "conv1"):
        wanted = f"'{name}' is not removable; removable are layer1.0, layer1.1"
        with pytest.raises(ValueError, match=wanted), without(net, name):
            pass


@torch.no_grad()
def test_several_at_once_and_one_within_another():
    net, x = settled("cifar_resnet20", width=4)
    with without(net, "layer1.1", "layer3.2"):
        wanted = net(x)
    with without(net, "layer1.1"):
        one = net(x)
        with without(net, "layer3.2", "layer1.1"):
            assert torch.equal(net(x), wanted)
        assert torch.equal(net(x), one)
        assert torch.equal(copy.deepcopy(net)(x), one)  # a copy lacks the block too
    assert not torch.equal(one, wanted)


def test_everything_is_as_before_after_an_error():
    net, x = settled("cifar_resnet14", width=4)
    before, state, modules = net(x), copy.deepcopy(net.state_dict()), list(net.named_modules())
    with pytest.raises(OSError), without(net, "layer1.0", "layer2.0"):
        raise OSError("disk")
    assert torch.equal(net(x), before)
    assert list(net.named_modules()) == modules and not any("forward" in vars(m) for _, m in modules)
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


def test_a_removed_block_costs_nothing():
    net = make_net("cifar_resnet14", 10, width=4)
    whole = complexity(net, 32)
    with without(net, "layer1.1"):
        assert whole.multiply_adds - complexity(net, 32).multiply_adds == 2 * 32 * 32 * 4 * 4 * 9


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_plain20"])
@torch.no_grad()
def test_blocks_in_another_order_equal_a_net_built_so(name):
    net, x = settled(name, width=4)
    built = copy.deepcopy(net)
    built.layer2 = nn.Sequential(built.layer2[0], built.layer2[2], built.layer2[1])
    with reordered(net, {"layer2.1": "layer2.2", "layer2.2": "layer2.1"}):
        assert torch.equal(net(x), built(x))
    assert not torch.equal(net(x), built(x))


def test_blocks_change_places_within_a_stage_alone():
    net = make_net("cifar_resnet14", 10, width=4)
    assert interchangeable(net) == [["layer1.0", "layer1.1"]]  # the others have one block that keeps the shape
    wrong = ({"layer1.0": "layer2.1", "layer2.1": "layer1.0"}, {"layer1.0": "layer1.1"}, {"layer2.0": "layer2.0"})
    for order in wrong:
        with pytest.raises(ValueError, match="only take the place of another of its stage"), reordered(net, order):
            pass
