import json

import numpy as np
import pytest
import torch

from detection.geometry.box_coder import BoxCoder
from detection.model.losses import BoxLoss


@pytest.fixture(scope="module")
def stored(references):
    return {k: torch.from_numpy(v) for k, v in np.load(references / "primitives" / "primitives.npz").items()}


class Given(BoxCoder):
    """Takes deltas for boxes and boxes for deltas, so that a loss meets exactly the numbers of the reference."""

    def encode(self, boxes, references):
        return boxes

    def decode(self, deltas, references):
        return deltas


def test_smooth_l1_equals_fvcore(references, stored):
    sums = json.loads((references / "primitives" / "primitives.json").read_bytes())["smooth_l1_sum"]
    for beta, wanted in sums.items():
        loss = BoxLoss("smooth_l1", float(beta))
        ours = loss(stored["loss_in"], stored["loss_in"], stored["loss_target"], Given())
        assert ours.item() == pytest.approx(wanted, rel=1e-6)


def test_giou_equals_fvcore(stored):
    a, b = stored["giou_a"], stored["giou_b"]
    each = torch.stack([BoxLoss("giou")(x, x, y, Given()) for x, y in zip(a.split(1), b.split(1))])
    torch.testing.assert_close(each, stored["giou_each"], atol=1e-5, rtol=1e-5)
    assert BoxLoss("giou")(a, a, b, Given()).item() == pytest.approx(stored["giou_each"].sum().item(), rel=1e-5)


@pytest.mark.parametrize(("beta", "wanted"), [(0.0, 3.5), (1.0, 0.125 + 2.5), (0.5, 0.25 + 2.75)])
def test_smooth_l1_by_hand(beta, wanted):
    reference = torch.tensor([[0.0, 0, 2, 2]])
    deltas = torch.tensor([[0.5, -3.0, 0, 0]])  # from the reference to itself all deltas are zero
    assert BoxLoss("smooth_l1", beta)(deltas, reference, reference, BoxCoder()).item() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", ["smooth_l1", "giou"])
def test_zero_at_the_goal_and_for_no_boxes(kind):
    references, goals = torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([[5.0, 2, 30, 12]])
    deltas = BoxCoder().encode(goals, references).requires_grad_()
    assert BoxLoss(kind)(deltas, references, goals, BoxCoder()).item() == pytest.approx(0, abs=1e-5)
    none = torch.zeros(0, 4, requires_grad=True)
    loss = BoxLoss(kind)(none, none.detach(), none.detach(), BoxCoder())
    loss.backward()
    assert loss.item() == 0 and none.grad.shape == (0, 4)
