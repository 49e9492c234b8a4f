import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops

from detection.model.roi_align import roi_align
from detection.model.roi_pool import RoIPooler

coordinates = st.floats(-60, 160, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), coordinates, coordinates, coordinates, coordinates), max_size=6),
    st.sampled_from([0, 1, 2, 3]),
    st.booleans(),
    st.sampled_from([1, 3, 7]),
)
def test_equals_torchvision_forward_and_backward(regions, ratio, aligned, size):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 11, 13, requires_grad=True)
    boxes = torch.tensor(regions, dtype=torch.float32).reshape(-1, 5)
    boxes[:, 3:] = torch.maximum(boxes[:, 1:3], boxes[:, 3:])  # torchvision has no answer for negative sides
    theirs = ops.roi_align(x, boxes, size, 0.125, ratio, aligned=aligned)
    ours = roi_align([x], boxes, torch.zeros(len(boxes), dtype=torch.int64), size, [0.125], ratio, aligned)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
    grad = torch.randn_like(theirs)
    mine, wanted = (torch.autograd.grad(y, x, grad)[0] for y in (ours, theirs))
    torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("ratio", [0, 2])
def test_each_level_serves_its_regions(ratio):
    torch.manual_seed(1)
    maps = [torch.randn(2, 3, 64 >> i, 48 >> i) for i in range(4)]
    sides = torch.tensor([8.0, 150, 300, 700, 60])
    boxes = [torch.stack([sides * 0, sides * 0 + 3, sides, sides * 0.9 + 3], 1) for _ in range(2)]
    pooler = RoIPooler("align", 7, [4, 8, 16, 32], ratio)
    found = pooler(maps, boxes)
    level_of = [0, 1, 2, 3, 0]  # by FPN's equation 1
    for row, level in enumerate(level_of * 2):
        region = torch.cat([torch.tensor([float(row // 5)]), boxes[row // 5][row % 5]])[None]
        alone = ops.roi_align(maps[level], region, 7, 1 / (4 << level), ratio, aligned=True)
        torch.testing.assert_close(found[row : row + 1], alone, atol=2e-5, rtol=0)
