import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detection.geometry.box_coder import LARGEST_LOG_RATIO, BoxCoder

CODERS = {"rpn": BoxCoder(), "roi": BoxCoder((10.0, 10.0, 5.0, 5.0))}


@pytest.mark.parametrize("name", list(CODERS))
def test_equals_detectron2(references, name):
    stored = np.load(references / "primitives" / "primitives.npz")
    anchors, truth, deltas = (torch.from_numpy(stored[f"coder_{k}"]) for k in ("anchors", "gt", "deltas_in"))
    coder = CODERS[name]
    encoded, decoded = (torch.from_numpy(stored[f"coder_{name}_{k}"]) for k in ("encoded", "decoded"))
    torch.testing.assert_close(coder.encode(truth, anchors), encoded, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(coder.decode(deltas, anchors), decoded, atol=1e-3, rtol=1e-5)


def test_by_hand():
    reference, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 0, 25, 10]])
    wanted = torch.tensor([[1.0, -0.25, math.log(2), math.log(0.5)]])
    torch.testing.assert_close(CODERS["rpn"].encode(box, reference), wanted)
    torch.testing.assert_close(CODERS["roi"].encode(box, reference), wanted * torch.tensor([10, 10, 5, 5]))
    torch.testing.assert_close(CODERS["rpn"].decode(wanted, reference), box)


def test_growth_is_clamped():
    grown = CODERS["rpn"].decode(torch.tensor([[0.0, 0, 50, LARGEST_LOG_RATIO]]), torch.tensor([[-8.0, -8, 8, 8]]))
    torch.testing.assert_close(grown, torch.tensor([[-500.0, -500, 500, 500]]))


centres = st.floats(0, 1000, width=32)
sides = st.floats(1, 500, width=32)
corner_and_size = st.tuples(centres, centres, sides, sides)


@given(corner_and_size, corner_and_size, st.sampled_from(list(CODERS)))
def test_round_trip(a, b, name):
    reference, box = (torch.tensor([[x, y, x + w, y + h]]) for x, y, w, h in (a, b))
    # A ratio above 1000 / 16 does not come back, which the clamp means.
    if (box[:, 2:] - box[:, :2]).div(reference[:, 2:] - reference[:, :2]).max() < 60:
        back = CODERS[name].decode(CODERS[name].encode(box, reference), reference)
        torch.testing.assert_close(back, box, atol=5e-3, rtol=1e-4)


def test_no_boxes_and_broadcast():
    none = torch.zeros(0, 4)
    assert BoxCoder().encode(none, none).shape == (0, 4) and BoxCoder().decode(none, none).shape == (0, 4)
    references = torch.tensor([[0.0, 0, 4, 4], [2, 2, 8, 8]])
    classes = BoxCoder().decode(torch.zeros(2, 3, 4), references[:, None])
    assert torch.equal(classes, references[:, None].expand(2, 3, 4))
