import numpy as np
import pytest
import torch

from detection.geometry.suppression import suppress


@pytest.fixture(scope="module")
def stored(shared):
    return {k: torch.from_numpy(v) for k, v in np.load(shared / "fixtures" / "primitives" / "primitives.npz").items()}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_keeps_what_detectron2_keeps(stored, threshold):
    boxes, scores, classes = stored["nms_boxes"], stored["nms_scores"], stored["nms_classes"]
    together = suppress(boxes, scores, torch.zeros_like(classes), threshold, 300)
    assert torch.equal(together, stored[f"nms_keep_{threshold}"])
    assert torch.equal(suppress(boxes, scores, classes, threshold, 300), stored[f"batched_nms_keep_{threshold}"])


def test_an_iou_at_the_threshold_is_kept(stored):
    boxes = stored["nms_edge_boxes"]  # the first two overlap by exactly .5
    kept = suppress(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64), 0.5, 3)
    assert torch.equal(kept, stored["nms_edge_keep"])


def test_groups_do_not_meet_and_the_best_survive_the_limit():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(3, 1)
    scores, groups = torch.tensor([0.1, 0.3, 0.2]), torch.tensor([0, 1, 1])
    assert suppress(boxes, scores, groups, 0.5, 9).tolist() == [1, 0]
    assert suppress(boxes, scores, groups, 0.5, 1).tolist() == [1]


def test_no_boxes():
    kept = suppress(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5, 9)
    assert kept.shape == (0,) and kept.dtype == torch.int64


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_looking_at_the_best_first_keeps_the_same(limit):
    torch.manual_seed(limit)
    corner = torch.rand(900, 2) * 40  # crowded: most boxes fall, so that one look at the best is not enough
    boxes, scores, groups = torch.cat([corner, corner + 30], 1), torch.rand(900), torch.randint(0, 3, (900,))
    whole = suppress(boxes, scores, groups, 0.3, 900)
    assert torch.equal(suppress(boxes, scores, groups, 0.3, limit), whole[:limit])
