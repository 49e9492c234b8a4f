"""Pre-activation nets against the authors' layout, written down here a second time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backbones.nets import NetName, make_net, stages_of


def branch(*layers):
    """A norm and a ReLU before each of (inputs, outputs, side, stride)."""
    found = []
    for inputs, outputs, side, stride in layers:
        conv = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
        found += [nn.BatchNorm2d(inputs), nn.ReLU(), conv]
    return nn.Sequential(*found)


class Unit(nn.Module):
    """Where channels stay, x + branch(x). Where they grow, norm and ReLU are common to the branch and a projection."""

    def __init__(self, layers):
        super().__init__()
        self.branch = branch(*layers)
        inputs, outputs, stride = layers[0][0], layers[-1][1], max(layer[3] for layer in layers)
        self.projection = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        if self.projection is None:
            return x + self.branch(x)
        common = self.branch[:2](x)
        return self.projection(common) + self.branch[2:](common)


def authors_cifar(n):
    """ResNet of 9n+2 layers in resnet-pre-act.lua: 16, 64, 128, 256 channels, halved in the first 1x1."""
    units, inputs = [], 16
    for outputs, first in ((64, 1), (128, 2), (256, 2)):
        for k in range(n):
            narrow, stride = outputs // 4, first if k == 0 else 1
            units.append(Unit([(inputs, narrow, 1, stride), (narrow, narrow, 3, 1), (narrow, outputs, 1, 1)]))
            inputs = outputs
    head = nn.Sequential(nn.BatchNorm2d(256), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(256, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), *units, head)


def test_bottlenecks_compute_what_the_authors_do():
    torch.manual_seed(0)
    theirs, ours = authors_cifar(2), make_net("cifar_preact_bottleneck20", 10, stride_in_1x1=True)
    x = torch.randn(4, 3, 32, 32)
    theirs(x)  # statistics that matter
    given = list(theirs.state_dict().values())
    assert len(given) == len(ours.state_dict())
    ours.load_state_dict(dict(zip(_in_authors_order(ours), given, strict=True)))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-5, atol=1e-5)
    ours.train(), theirs.train()
    F.cross_entropy(ours(x), torch.arange(4)).backward()
    F.cross_entropy(theirs(x), torch.arange(4)).backward()
    torch.testing.assert_close(ours.conv1.weight.grad, theirs[0].weight.grad, rtol=1e-4, atol=1e-6)


def _in_authors_order(net):
    """Keys: stem, each block's norms and convolutions in turn, then its projection, last norm, classifier."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    yield "conv1.weight"
    for i, stage in enumerate((net.layer1, net.layer2, net.layer3), start=1):
        for j, block in enumerate(stage):
            for k in (1, 2, 3):
                yield from (f"layer{i}.{j}.bn{k}.{part}" for part in norm)
                yield f"layer{i}.{j}.conv{k}.weight"
            if block.downsample is not None:
                yield f"layer{i}.{j}.downsample.weight"
    yield from (f"norm.{part}" for part in norm)
    yield from ("fc.weight", "fc.bias")


def test_the_stem_of_imagenet_is_activated_once():
    torch.manual_seed(0)
    net = make_net("preact_resnet18", 5, width=4)
    x = torch.randn(2, 3, 64, 64)
    net(x)
    net.eval()
    y = F.max_pool2d(F.relu(net.bn1(net.conv1(x))), 3, 2, padding=1)
    block = net.layer1[0]
    assert block.bn1 is None
    expected = y + block.conv2(F.relu(block.bn2(block.conv1(y))))
    torch.testing.assert_close(block(net.stem(x)), expected)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("cifar_preact_resnet110", 1.7),
        ("cifar_preact_bottleneck164", 1.7),
        ("cifar_preact_bottleneck1001", 10.3),
        ("preact_resnet200", 64.7),
    ],
)
def test_sizes_of_the_published_nets(name, millions):
    with torch.device("meta"):
        net = make_net(name, 10 if NetName.parse(name).cifar else 1000)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize("name", ["preact_resnet50", "cifar_preact_resnet14"])
def test_rematerialised_training_is_the_same(name):
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        net = make_net(name, 3, width=4, rematerialise=again)
        net(torch.randn(2, 3, 64, 64)).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
        children = [part for parts in stages_of(net).values() for part in parts]
        assert children == [child for child, _ in net.named_children()]
    assert all(torch.equal(one, other) for one, other in zip(*gradients))


@pytest.mark.parametrize("name", ["preact_plain18", "preact_resnet20", "cifar_bottleneck20", "preact_bottleneck20"])
def test_nets_that_do_not_exist(name):
    with pytest.raises(ValueError, match="unknown; known are"):
        make_net(name, 10)
