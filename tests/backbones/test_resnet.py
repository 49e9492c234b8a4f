"""ResNet against torchvision's, key for key and number for number."""

import pytest
import torch
import torchvision.models as peers
from torch import nn

from backbones.blocks import BlockOptions
from backbones.norm import FrozenNorm
from backbones.resnet import LAYOUTS, ResNet

# The same number in the paper's tables and torchvision's documentation.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


def settle(net: nn.Module) -> nn.Module:
    """Statistics other than those of a fresh net, so that the norms matter; evaluation mode."""
    torch.manual_seed(0)
    for name, value in net.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(std=0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_keys_shapes_and_parameter_count_equal_torchvision(name):
    with torch.device("meta"):
        ours, theirs = ResNet(name, classes=1000), peers.get_model(name)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert sum(p.numel() for p in ours.parameters()) == PARAMETERS[name]


def assert_same_logits(ours: ResNet, theirs: nn.Module) -> None:
    ours.eval().load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 75, 64)
    wanted = theirs(x)
    torch.testing.assert_close(ours(x), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("norm", ["batch", "frozen"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.no_grad()
def test_logits_equal_torchvision(name, norm):
    assert_same_logits(ResNet(name, options=BlockOptions(norm), classes=1000), settle(peers.get_model(name)))


@torch.no_grad()
def test_stride_in_the_1x1_equals_torchvision_with_its_strides_moved():
    theirs = settle(peers.resnet50())
    for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    assert_same_logits(ResNet("resnet50", options=BlockOptions(stride_in_1x1=True), classes=1000), theirs)


@torch.no_grad()
def test_dilated_stage_5_equals_torchvision_with_its_first_block_dilated_too():
    theirs = settle(peers.resnet50(replace_stride_with_dilation=[False, False, True]))
    first = theirs.layer4[0].conv2  # dilated in detectron2 as well, where torchvision leaves 1
    assert first.dilation == (1, 1) and theirs.layer4[1].conv2.dilation == (2, 2)
    first.dilation = first.padding = (2, 2)
    assert_same_logits(ResNet("resnet50", dilate_stage5=True, classes=1000), theirs)


@pytest.mark.parametrize(("dilate", "side", "stride"), [(False, 3, 32), (True, 5, 16)])
@pytest.mark.parametrize(("name", "expansion"), [("resnet18", 1), ("resnet50", 4)])
@torch.no_grad()
def test_shapes_of_the_maps(name, expansion, dilate, side, stride):
    net = ResNet(name, width=8, dilate_stage5=dilate).eval()
    maps = net.feature_maps(torch.randn(2, 3, 65, 80))
    assert net.channels == [x.shape[1] for x in maps] == [8 * expansion << i for i in range(4)]
    assert net.strides == [4, 8, 16, stride]
    assert maps[-1].shape[-2:] == (side, 3 if stride == 32 else 5)


@pytest.mark.parametrize("last", range(6))
def test_frozen_stages_do_not_change_in_a_training_step(last):
    net = ResNet("resnet18", width=8, classes=3).train()
    net.freeze_stages(last)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in net.parameters() if p.requires_grad), lr=0.1)
    net(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    stages = ("conv1 bn1", "layer1", "layer2", "layer3", "layer4")
    for i, prefixes in enumerate(stages):
        values = {k: v for k, v in net.state_dict().items() if k.startswith(tuple(prefixes.split()))}
        changed = {k: not torch.equal(v, before[k]) for k, v in values.items()}
        assert not any(changed.values()) if i < last else all(changed.values()), changed


def test_freezing_replaces_batch_norms():
    net = ResNet("resnet18", width=8)
    net.freeze_stages(2)
    assert isinstance(net.bn1, FrozenNorm) and isinstance(net.layer1[1].bn2, FrozenNorm)
    assert isinstance(net.layer2[0].bn1, nn.BatchNorm2d)


def test_taking_stage_5_leaves_the_first_four():
    net = ResNet("resnet50", width=8)
    stage = net.take_stage5()
    assert stage(net.feature_maps(torch.randn(1, 3, 64, 64))[-1]).shape == (1, 256, 2, 2)
    assert net.channels == [32, 64, 128] and net.strides == [4, 8, 16]
    assert not any(k.startswith("layer4") for k in net.state_dict())


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="backbone 'resnet19' is unknown; known are resnet18, resnet34"):
        ResNet("resnet19")
    with pytest.raises(ValueError, match="norm 'layer' is unknown; known are frozen, batch, sync, group"):
        ResNet("resnet18", options=BlockOptions("layer"))
