import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from backbones.norm import NORMS, FrozenNorm, conv_norm, frozen, make_norm


def unusual(norm):
    torch.manual_seed(0)
    with torch.no_grad():
        norm.weight.normal_(), norm.bias.normal_(), norm.running_mean.normal_(), norm.running_var.uniform_(0.1, 2)
    return norm


def test_equals_detectron2(references):
    folder = references / "primitives"
    given = json.loads((folder / "primitives.json").read_bytes())["bn"]
    stored = np.load(folder / "primitives.npz")
    norm = FrozenNorm(3, given["eps"])
    norm.load_state_dict({k: torch.tensor(given[k]) for k in ("weight", "bias", "running_mean", "running_var")})
    ours = norm(torch.from_numpy(stored["roi_features"]))
    torch.testing.assert_close(ours, torch.from_numpy(stored["bn_y"]), rtol=1e-5, atol=1e-5)


def test_folding_equals_the_two_layers_with_the_gradient_of_the_weight():
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
    theirs = unusual(FrozenBatchNorm2d(6))
    ours = FrozenNorm(6)
    ours.load_state_dict(theirs.state_dict())
    x, seen = torch.randn(2, 4, 9, 11), []
    for run in (lambda: conv_norm(x, conv, ours), lambda: theirs(conv(x))):
        conv.zero_grad()
        y = run()
        y.square().sum().backward()
        seen.append((y.detach(), conv.weight.grad.clone()))
    torch.testing.assert_close(*(y for y, _ in seen), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*(g for _, g in seen), rtol=1e-4, atol=1e-4)


def test_the_frozen_twin_of_a_batch_norm_gives_the_same():
    norm = unusual(nn.BatchNorm2d(5, eps=1e-3)).eval()
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(FrozenNorm.of(norm)(x), norm(x), rtol=1e-5, atol=1e-5)


def test_weights_of_a_batch_norm_load():
    norm, loaded = unusual(nn.BatchNorm2d(5)), FrozenNorm(5)
    state = norm.state_dict()
    loaded.load_state_dict(state)
    assert "num_batches_tracked" in state  # the caller's dict is not touched
    assert torch.equal(loaded.running_var, norm.running_var)


def test_frozen_takes_gradients_and_batch_norms_away():
    conv, net = nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4)))
    body = frozen(nn.Sequential(conv, net))
    assert not any(p.requires_grad for p in body.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in body.modules())
    assert isinstance(frozen(nn.BatchNorm2d(2)), FrozenNorm)
    before = {k: v.clone() for k, v in body.state_dict().items()}
    body.train()(torch.randn(2, 3, 5, 5))
    assert all(torch.equal(v, before[k]) for k, v in body.state_dict().items())


@pytest.mark.parametrize("name", [n for n in NORMS if n != "sync"])  # which runs on GPUs only
@pytest.mark.parametrize("channels", [8, 48, 64])
def test_every_norm_keeps_the_shape(name, channels):
    assert make_norm(name, channels)(torch.randn(2, channels, 3, 3)).shape == (2, channels, 3, 3)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm 'none' is unknown; known are frozen, batch, sync, group"):
        make_norm("none", 4)


def test_scale_and_shift_are_kept_until_a_buffer_changes():
    norm, x = unusual(FrozenNorm(3)), torch.randn(1, 3, 4, 4)
    scale, _ = norm.affine()
    assert norm.affine()[0] is scale  # 265 of 1,382 operations of a step of ResNet-50 were these
    changes = [
        lambda: norm.weight.mul_(2),
        lambda: norm.load_state_dict(unusual(nn.BatchNorm2d(3)).state_dict()),
        lambda: torch._foreach_lerp_([norm.state_dict()["running_var"]], [torch.ones(3)], 0.5),  # as averaging does
        lambda: norm.register_buffer("bias", torch.randn(3)),
        lambda: norm.to(torch.float64),
    ]
    for change in changes:
        before = norm.affine()
        change()
        fresh = FrozenNorm(3).to(norm.weight.dtype)
        fresh.load_state_dict(norm.state_dict())
        assert not all(torch.equal(a, b.to(a.dtype)) for a, b in zip(before, norm.affine())) or change is changes[-1]
        assert all(torch.equal(a, b) for a, b in zip(fresh.affine(), norm.affine()))
    copied = copy.deepcopy(norm)
    copied.bias.zero_()
    assert torch.equal(copied.affine()[1], -copied.running_mean * copied.affine()[0])
    with torch.inference_mode():
        norm(x.double())
    norm(x.double().requires_grad_()).sum().backward()
