"""Layer responses against a forward pass by hand, and figure 7 on trained nets."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.analysis.responses import layer_responses
from backbones.nets import make_net
from backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, read_state


@torch.no_grad()
def by_hand(net, x: Tensor) -> dict[str, Tensor]:
    """The responses of a net of basic blocks for 32-pixel images, each as a map."""
    found = {"conv1": net.bn1(net.conv1(x))}
    x = found["conv1"].relu()
    for i, stage in enumerate((net.layer1, net.layer2, net.layer3), start=1):
        for j, block in enumerate(stage):
            found[f"layer{i}.{j}.conv1"] = block.bn1(block.conv1(x))
            found[f"layer{i}.{j}.conv2"] = y = block.bn2(block.conv2(found[f"layer{i}.{j}.conv1"].relu()))
            x = y.relu() if block.plain else (y + (block.downsample(x) if block.downsample else x)).relu()
    return found


@pytest.mark.parametrize("name", ["cifar_resnet14", "cifar_plain14"])
def test_equal_a_forward_pass_by_hand(name):
    torch.manual_seed(0)
    net, x = make_net(name, 10, width=4), torch.randn(7, 3, 16, 16)
    net(x)  # statistics of its own
    wanted = by_hand(net.eval(), x)
    found = layer_responses(net, [x[:2], x[2:]])
    assert [r.layer for r in found] == list(wanted) and [r.index for r in found] == list(range(1, 14))
    for response in found:
        y = wanted[response.layer].double()
        assert response.std == pytest.approx(float(y.std(correction=0)), rel=1e-5)
        assert response.mean == pytest.approx(float(y.mean()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name, conv, count", [("resnet18", "conv[12]", 16), ("resnet50", "conv2", 16)])
def test_layers_of_3x3_only(name, conv, count):
    """Neither the 7x7 stem, nor a bottleneck's 1x1s, nor projections."""
    found = layer_responses(make_net(name, 10, width=8), [torch.randn(1, 3, 64, 64)])
    assert len(found) == count
    assert all(r.layer.startswith("layer") and r.layer[-5:-1] == "conv" and r.layer[-1] in conv for r in found)


def test_net_is_given_back_after_an_error():
    net = make_net("cifar_resnet8", 10, width=4).train()
    net.layer2.eval()
    modes = [m.training for m in net.modules()]

    def broken():
        yield torch.randn(1, 3, 8, 8)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        layer_responses(net, broken())
    assert [m.training for m in net.modules()] == modes
    assert not any(m._forward_hooks for m in net.modules())
    with pytest.raises(ValueError, match="no images"):
        layer_responses(net, [])


def test_frozen_norms_are_refused():
    with pytest.raises(ValueError, match="conv1 has a frozen norm"):
        layer_responses(make_net("cifar_resnet8", 10, norm="frozen"), [torch.randn(1, 3, 8, 8)])


def cifar_test_images(archive: Path, every: int) -> Tensor:
    """Each `every`-th test image, normalised: (N, 3, 32, 32)."""
    images = []
    with tarfile.open(archive) as tar:
        files = (member for member in tar if member.isfile())
        for i, member in enumerate(files):
            if not member.name.startswith("test/"):
                break
            if i % every == 0:
                content = tar.extractfile(member)
                assert content is not None
                images.append(np.asarray(Image.open(io.BytesIO(content.read())).convert("RGB")))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return (pixels - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


def test_trained_deeper_nets_respond_less(shared):
    """Figure 7: the modification by each layer shrinks with depth."""
    images = cifar_test_images(shared / "data/cifar10_jpeg.tar.xz", every=50)
    assert images.shape == (200, 3, 32, 32)
    stds = {}
    for depth in (20, 56):
        net = make_net(f"cifar_resnet{depth}", 10)
        net.load_state_dict(read_state(shared / f"data/cifar_resnets/resnet{depth}.pt"), strict=False)
        stds[depth] = np.array([r.std for r in layer_responses(net, images.split(100))])
        assert len(stds[depth]) == depth - 1
    assert stds[56].mean() < 0.75 * stds[20].mean()
    assert np.median(stds[56]) < 0.75 * np.median(stds[20])
