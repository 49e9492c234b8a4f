import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detection.geometry.boxes import area, clip, covered, intersection, iou, larger_than, rescale


@st.composite
def boxes(draw, least=0):
    """(N, 4) boxes, some of them empty, on a grid of eighths of a pixel around a 100-pixel image."""
    edge = st.integers(-400, 1200)
    rows = draw(st.lists(st.tuples(edge, edge, st.integers(0, 800), st.integers(0, 800)), min_size=least, max_size=6))
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4) / 8
    return torch.cat([table[:, :2], table[:, :2] + table[:, 2:]], 1)


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0, 10, 10], [5, 5, 5, 5]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 7]])
    assert area(a).tolist() == [100, 0]
    assert intersection(a, b)[0].tolist() == [100, 50, 0, 10]
    torch.testing.assert_close(iou(a, b), torch.tensor([[1, 50 / 150, 0, 0.1], [0, 0, 0, 0]]))
    assert iou(a[1:], a[1:]).tolist() == [[0]]  # two empty boxes: 0, not 0 / 0


def test_no_boxes():
    none, one = torch.zeros(0, 4), torch.tensor([[0.0, 0, 1, 1]])
    assert iou(none, one).shape == (0, 1) and iou(one, none).shape == (1, 0) and iou(none, none).shape == (0, 0)
    assert covered(none, one).shape == (0,) and covered(one, none).tolist() == [0]
    assert clip(none, (5, 5)).shape == (0, 4) and larger_than(none, 0).shape == (0,)


@given(boxes(), boxes())
def test_iou_is_symmetric_and_a_share(a, b):
    overlap = iou(a, b)
    assert torch.equal(overlap, iou(b, a).T)
    assert ((overlap >= 0) & (overlap <= 1)).all()


@given(boxes())
def test_iou_of_a_box_with_itself_is_one_unless_it_is_empty(a):
    assert torch.equal(iou(a, a).diagonal(), (area(a) > 0).float())


@given(boxes())
def test_clip_stays_inside_and_is_idempotent(a):
    cut = clip(a, (50, 100))
    assert (cut >= 0).all() and (cut[:, 0::2] <= 100).all() and (cut[:, 1::2] <= 50).all()
    assert torch.equal(clip(cut, (50, 100)), cut)
    assert (area(cut) <= area(a)).all()


@given(boxes())
def test_rescale_there_and_back(a):
    back = rescale(rescale(a, (480, 640), (800, 1067)), (800, 1067), (480, 640))
    torch.testing.assert_close(back, a, atol=1e-3, rtol=1e-5)


def test_rescale_by_hand_and_without_editing():
    a = torch.tensor([[1.0, 2, 3, 4]])
    assert rescale(a, (10, 20), (20, 60)).tolist() == [[3, 4, 9, 8]]
    clip(a, (1, 1))
    assert a.tolist() == [[1, 2, 3, 4]]


def test_covered_takes_the_best_single_region():
    a = torch.tensor([[0.0, 0, 10, 10], [3, 3, 3, 9]])
    regions = torch.tensor([[0.0, 0, 4, 10], [5, 0, 10, 10]])
    assert covered(a, regions).tolist() == [0.5, 0]


@pytest.mark.parametrize(
    ("box", "kept"),
    [([0, 0, 5, 5], True), ([0, 0, 4, 9], False), ([0, 0, float("inf"), 9], False), ([0, float("nan"), 9, 9], False)],
)
def test_larger_than_is_strict_and_finite(box, kept):
    assert larger_than(torch.tensor([box], dtype=torch.float32), 4.0).tolist() == [kept]
