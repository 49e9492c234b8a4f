import numpy as np
import pytest
import torch

from detection.model.roi_pool import RoIPooler, pyramid_level


@pytest.fixture(scope="module")
def stored(references):
    return {k: torch.from_numpy(v) for k, v in np.load(references / "primitives" / "primitives.npz").items()}


@pytest.mark.parametrize(
    ("kind", "ratio", "name"),
    [
        ("align", 0, "roi_align_aligned1_ratio0"),
        ("align", 2, "roi_align_aligned1_ratio2"),
        ("align_legacy", 0, "roi_align_aligned0_ratio0"),
        ("align_legacy", 2, "roi_align_aligned0_ratio2"),
        ("pool", 0, "roi_pool"),
    ],
)
def test_equals_detectron2_and_torchvision(stored, kind, ratio, name):
    regions = stored["roi_boxes"]  # image, x1, y1, x2, y2; images are mixed there, in order here
    order = torch.cat([(regions[:, 0] == i).nonzero().squeeze(1) for i in (0, 1)])
    boxes = [regions[regions[:, 0] == i, 1:] for i in (0, 1)]
    ours = RoIPooler(kind, 7, [8], ratio)([stored["roi_features"]], boxes)
    torch.testing.assert_close(ours, stored[name][order], atol=1e-5, rtol=1e-5)


def test_levels_equal_detectron2(stored):
    assert torch.equal(pyramid_level(stored["level_boxes"], 2, 5), stored["level_detectron2"])


@pytest.mark.parametrize(
    ("side", "level"), [(0, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (896, 3), (9999, 3)]
)
def test_levels_by_hand(side, level):
    assert pyramid_level(torch.tensor([[5.0, 5, 5 + side, 5 + side]]), 2, 5).tolist() == [level]


def test_each_region_reads_its_own_level_and_image():
    maps = [torch.full((2, 1, 128 // s, 128 // s), float(s)) + torch.tensor([0, 0.5]).view(2, 1, 1, 1) for s in (4, 8)]
    small, large = torch.tensor([[8.0, 8, 40, 40]]), torch.tensor([[0.0, 0, 120, 120]])
    pooled = RoIPooler("align", 2, [4, 8], 2)(maps, [torch.cat([large, small]), small])
    assert pooled.shape == (3, 1, 2, 2)
    assert pooled.mean((1, 2, 3)).tolist() == [8, 4, 4.5]


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("kind", ["align", "align_legacy", "pool"])
def test_no_regions(levels, kind):
    maps = [torch.ones(2, 5, 16 >> i, 16 >> i, requires_grad=True) for i in range(levels)]
    pooler = RoIPooler(kind, 7, [4, 8, 16][:levels])
    pooled = pooler(maps, [torch.zeros(0, 4), torch.zeros(0, 4)])
    assert pooled.shape == (0, 5, 7, 7)
    pooled.sum().backward()
    assert all(x.grad is not None and not x.grad.any() for x in maps)
