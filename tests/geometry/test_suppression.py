import numpy as np
import pytest
import torch

from detection.geometry import suppression
from detection.geometry.suppression import suppress, suppress_each, suppress_in_rounds


@pytest.fixture(scope="module")
def stored(references):
    return {k: torch.from_numpy(v) for k, v in np.load(references / "primitives" / "primitives.npz").items()}


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


@pytest.mark.parametrize("limit", [5, 2000])
@pytest.mark.parametrize("side", [30, 3])
def test_a_device_decides_in_rounds_what_the_processor_decides_box_after_box(limit, side, monkeypatch):
    """Two images with runs of several lengths; crowded, so that suppression runs in long chains."""
    monkeypatch.setattr(suppression, "BLOCK", 5000)
    monkeypatch.setattr(suppression, "ROUNDS", 2)
    torch.manual_seed(side)
    groups = [150, 70, 1]
    corner = torch.rand(2, sum(groups), 2) * 40
    boxes = torch.cat([corner, corner + side], 2)
    boxes[0, :3] = boxes[0, 0]  # equal, and empty ones
    boxes[1, 5:9, 2:] = boxes[1, 5:9, :2]
    scores = torch.cat([torch.rand(2, n).sort(descending=True).values for n in groups], 1)
    valid = torch.rand(2, sum(groups)) < 0.9
    expected = suppress_each(boxes, scores, valid, groups, 0.3, limit)
    found = suppress_in_rounds(boxes, scores, valid, groups, 0.3, limit)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]


def test_rounds_without_valid_rows_keep_nothing():
    none = torch.zeros(1, 4, dtype=torch.bool)
    assert suppress_in_rounds(torch.zeros(1, 4, 4), torch.zeros(1, 4), none, [3, 1], 0.5, 9)[0].shape == (0,)
