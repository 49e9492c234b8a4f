import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import vgg16, vgg16_bn

from backbones.nets import make_net
from backbones.norm import FrozenNorm, recompute_statistics
from backbones.vgg import VGG16
from detection.model.roi_pool import RoIPooler

PEERS = {"vgg16": vgg16, "vgg16_bn": vgg16_bn}


@pytest.mark.parametrize(("name", "parameters"), [("vgg16", 138_357_544), ("vgg16_bn", 138_365_992)])
def test_keys_shapes_and_parameter_count_equal_torchvision(name, parameters):
    with torch.device("meta"):
        ours, theirs = make_net(name, 1000), PEERS[name]()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert sum(p.numel() for p in ours.parameters()) == parameters


@pytest.fixture(scope="module", params=["vgg16", "vgg16_bn"])
def pair(request):
    """torchvision's net, and ours with its weights: the full width once, since torchvision has no other."""
    with torch.device("meta"):
        theirs, ours = PEERS[request.param](), make_net(request.param, 1000)
    torch.manual_seed(0)
    state = {k: torch.empty(v.shape).uniform_(-1, 1) for k, v in theirs.state_dict().items()}
    for key, value in state.items():
        if value.ndim > 1:
            value.mul_((6 / value[0].numel()) ** 0.5)  # He's variance, 2 / fan-in
        elif key.endswith("running_var"):
            value.abs_().add_(0.5)
    for net in (theirs, ours):
        net.load_state_dict(state, assign=True)
    return ours.eval(), theirs.eval()


@torch.no_grad()
def test_logits_equal_torchvision_at_224_pixels(pair):
    ours, theirs = pair
    x = torch.randn(1, 3, 224, 224)
    for mine, other in ((ours.feature_maps(x)[0], theirs.features[:-1](x)), (ours(x), theirs(x))):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5 * float(other.abs().max()))


@torch.no_grad()
def test_small_images_are_pooled_as_a_detector_pools_a_region():
    net = VGG16(width=4, classes=5).eval()
    x = torch.randn(1, 3, 80, 80)
    maps = net.feature_maps(x)
    whole = torch.tensor([[0.0, 0.0, 64.0, 64.0]])  # by RoIPool's rounding cells 0 to 4
    region = RoIPooler("pool", 7, [16], 0)(maps, [whole])
    assert torch.equal(F.adaptive_max_pool2d(maps[0], 7), region)
    torch.testing.assert_close(net(x), net.classifier(region.flatten(1)))


@torch.no_grad()
def test_the_map_has_stride_16_and_the_classifier_takes_224_pixels():
    net = VGG16(width=4, classes=5).eval()
    assert net.feature_maps(torch.randn(1, 3, 224, 230))[0].shape == (1, 32, 14, 14)
    assert net(torch.randn(2, 3, 224, 224)).shape == (2, 5)


def test_frozen_norms_keep_the_output_and_the_recomputed_statistics():
    torch.manual_seed(0)
    net = VGG16(width=4, classes=5, norm="batch", dropout=0.0)
    images = torch.randn(8, 3, 32, 32)
    recompute_statistics(net, [images])
    torch.testing.assert_close(net.train()(images), net.eval()(images), rtol=0.1, atol=0.1)
    wanted = net(images)
    net.freeze_stages(5)
    assert sum(isinstance(m, FrozenNorm) for m in net.features) == 13
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    torch.testing.assert_close(net(images), wanted, rtol=1e-4, atol=1e-5)


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
