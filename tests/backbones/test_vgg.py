import pytest
import torch
from torchvision.models import vgg16

from backbones.vgg import VGG16


def test_keys_shapes_and_parameter_count_equal_torchvision():
    with torch.device("meta"):
        ours, theirs = VGG16(classes=1000).state_dict(), vgg16().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert sum(v.numel() for v in ours.values()) == 138_357_544


@pytest.fixture(scope="module")
def pair():
    """torchvision's net, and ours with its weights: the full width once, since torchvision has no other."""
    with torch.device("meta"):
        theirs, ours = vgg16(), VGG16(classes=1000)
    torch.manual_seed(0)
    state = {k: torch.empty(v.shape).uniform_(-1, 1) for k, v in theirs.state_dict().items()}
    for value in state.values():
        if value.ndim > 1:
            value.mul_((6 / value[0].numel()) ** 0.5)  # He's variance, 2 / fan-in
    for net in (theirs, ours):
        net.load_state_dict(state, assign=True)
    return ours.eval(), theirs.eval()


@torch.no_grad()
def test_logits_equal_torchvision(pair):
    ours, theirs = pair
    x = torch.randn(1, 3, 64, 64)
    maps = theirs.features[:-1](x)
    torch.testing.assert_close(ours.feature_maps(x)[0], maps, rtol=1e-5, atol=1e-5)
    pooled = torch.randn(2, 512, 7, 7)
    torch.testing.assert_close(
        ours.classifier(pooled.flatten(1)), theirs.classifier(pooled.flatten(1)), rtol=1e-5, atol=1e-5
    )


@torch.no_grad()
def test_the_map_has_stride_16_and_the_classifier_takes_224_pixels():
    net = VGG16(width=4, classes=5).eval()
    assert net.feature_maps(torch.randn(1, 3, 224, 230))[0].shape == (1, 32, 14, 14)
    assert net(torch.randn(2, 3, 224, 224)).shape == (2, 5)


@pytest.mark.parametrize(("last", "frozen"), [(0, 0), (1, 2), (2, 4), (5, 13)])
def test_frozen_stages(last, frozen):
    net = VGG16(width=4)
    net.freeze_stages(last)
    fixed = [p for p in net.features.parameters() if not p.requires_grad]
    assert len(fixed) == 2 * frozen  # a weight and a bias each
    assert all(not p.requires_grad for p in list(net.features.parameters())[: 2 * frozen])


def test_the_head_takes_fc6_and_fc7_away():
    net = VGG16(width=4)
    head = net.take_classifier()
    assert head(torch.randn(3, 32 * 49)).shape == (3, net.hidden)
    assert not any(k.startswith("classifier") for k in net.state_dict())
