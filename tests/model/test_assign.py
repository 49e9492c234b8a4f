import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detection.model.assign as assign
from detection.model.assign import IGNORED, NEGATIVE, POSITIVE, Matcher, Sampler
from detection.records import Target

RPN_MATCHER = Matcher(0.7, 0.3, best_for_each=True)


def truth(*boxes, ignored=()):
    labels = torch.arange(len(boxes))
    return Target(torch.tensor(boxes).float().view(-1, 4), labels, torch.tensor(ignored).float().view(-1, 4))


def table(*boxes):
    return torch.tensor(boxes, dtype=torch.float32).view(-1, 4)


@pytest.mark.parametrize(
    ("name", "matcher", "rows"),
    [
        # Row 4 of the matrix is zero: detectron2 gives it every anchor, this matcher none. The others agree.
        ("rpn", RPN_MATCHER, [0, 1, 2, 3, 5]),
        ("rpn_no_low_quality", Matcher(0.7, 0.3), range(6)),
        ("roi", Matcher(0.5, 0.5), range(6)),
    ],
)
def test_equals_detectron2(references, monkeypatch, name, matcher, rows):
    stored = np.load(references / "primitives" / "primitives.npz")
    overlap = torch.from_numpy(stored["matcher_iou"])
    monkeypatch.setattr(assign, "iou", lambda a, b: torch.cat([overlap, overlap.new_zeros(1, 40)]))
    labels, matched = matcher(torch.zeros(40, 4), truth(*[[0, 0, 1, 1]] * 6))
    assert np.array_equal(matched, stored[f"matcher_{name}_index"])
    wanted = torch.from_numpy(stored[f"matcher_{name}_label"])
    if len(rows) < 6:
        own = torch.from_numpy(stored["matcher_rpn_no_low_quality_label"])
        claimed = (overlap == overlap.amax(1, keepdim=True))[list(rows)].any(0)
        assert (wanted == POSITIVE).all()  # what the zero row does to detectron2
        wanted = torch.where(claimed, torch.tensor(POSITIVE, dtype=torch.int8), own)
    assert torch.equal(labels, wanted)


def test_fast_rcnns_background_overlaps_an_object_a_little():
    boxes = table([0, 0, 10, 10], [0, 0, 10, 4], [0, 0, 10, 1], [0, 0, 10, 0.9], [20, 20, 30, 30])
    labels, _ = Matcher(0.5, 0.5, least=0.1)(boxes, truth([0, 0, 10, 10]))
    assert labels.tolist() == [POSITIVE, NEGATIVE, NEGATIVE, IGNORED, IGNORED]
    assert (Matcher(0.5, 0.5, least=0.1)(boxes, truth())[0] == IGNORED).all()


def test_thresholds_by_hand():
    boxes = table([0, 0, 10, 10], [0, 0, 10, 7], [0, 0, 10, 5], [0, 0, 10, 3], [0, 0, 10, 2])
    labels, matched = Matcher(0.7, 0.3)(boxes, truth([0, 0, 10, 10]))
    assert labels.tolist() == [
        POSITIVE,
        POSITIVE,
        IGNORED,
        IGNORED,
        NEGATIVE,
    ]  # .7 is positive, .3 not negative any more
    assert matched.tolist() == [0] * 5


def test_ties_for_the_best_are_all_positive():
    boxes = table([0, 0, 5, 10], [5, 0, 10, 10], [0, 0, 2, 10], [0, 0, 30, 30])
    labels, _ = RPN_MATCHER(boxes, truth([0, 0, 10, 10]))
    assert labels.tolist() == [POSITIVE, POSITIVE, NEGATIVE, NEGATIVE]


def test_a_claimed_box_keeps_the_truth_it_overlaps_most():
    target = truth([0, 0, 10, 10], [0, 0, 10, 4])
    labels, matched = RPN_MATCHER(table([0, 0, 10, 9]), target)  # best for both, and itself nearer to the first
    assert labels.tolist() == [POSITIVE] and matched.tolist() == [0]


def test_a_truth_that_no_box_overlaps_claims_none():
    labels, _ = RPN_MATCHER(table([0, 0, 10, 10], [20, 0, 30, 10]), truth([0, 0, 10, 10], [50, 50, 60, 60]))
    assert labels.tolist() == [POSITIVE, NEGATIVE]


def test_ignored_regions_hide_negatives_only():
    boxes = table([0, 0, 10, 10], [20, 0, 30, 10], [20, 8, 30, 18])
    labels, _ = RPN_MATCHER(boxes, truth([0, 0, 10, 10], ignored=[[0, 0, 40, 10]]))
    assert labels.tolist() == [POSITIVE, IGNORED, NEGATIVE]  # covered wholly, wholly, and by a fifth


def test_no_truth_and_no_boxes():
    labels, matched = RPN_MATCHER(table([0, 0, 10, 10], [0, 0, 0, 0]), truth())
    assert labels.tolist() == [NEGATIVE, NEGATIVE] and matched.tolist() == [0, 0]
    for target in (truth(), truth([0, 0, 10, 10])):
        labels, matched = RPN_MATCHER(torch.zeros(0, 4), target)
        assert labels.shape == matched.shape == (0,)


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=60), st.integers(0, 20), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_sampler_never_takes_too_many_and_fills_up(values, count, fraction):
    labels = torch.tensor(values, dtype=torch.int8)
    rows, found = Sampler(count, fraction)(labels)
    assert len(rows) == min(count, len(labels)) and found.tolist() == sorted(found.tolist(), reverse=True)
    positive, negative = rows[found == POSITIVE], rows[found == NEGATIVE]
    assert (labels[positive] == POSITIVE).all() and (labels[negative] == NEGATIVE).all()
    assert len(positive) == min(values.count(1), int(count * fraction))
    assert len(negative) == min(values.count(0), count - len(positive))
    assert len({*positive.tolist(), *negative.tolist()}) == len(positive) + len(negative)


def test_sampler_draws_at_random():
    labels = torch.zeros(1000, dtype=torch.int8)
    torch.manual_seed(0)
    first, second = (Sampler(10, 0.5)(labels)[0].tolist() for _ in range(2))
    assert first != second
    torch.manual_seed(0)
    assert Sampler(10, 0.5)(labels)[0].tolist() == first


def test_sampler_takes_each_as_often():
    labels = torch.tensor([POSITIVE] * 6 + [NEGATIVE] * 8 + [IGNORED] * 2, dtype=torch.int8)
    taken, generator = torch.zeros(16), torch.Generator().manual_seed(0)
    for _ in range(2000):
        taken[Sampler(8, 0.5)(labels, generator)[0]] += 1
    expected = torch.tensor([2000 * 4 / 6] * 6 + [2000 * 4 / 8] * 8 + [0.0] * 2)
    assert ((taken - expected).abs() <= 100).all()  # a deviation is at most 22


@pytest.mark.parametrize("best_for_each", [True, False])
def test_overlaps_in_parts_match_the_same(best_for_each, monkeypatch):
    torch.manual_seed(0)
    corner = torch.rand(300, 2) * 90
    boxes = torch.cat([corner, corner + torch.rand(300, 2) * 40 + 1], 1)
    target = Target(boxes[::29] + 0.5, torch.zeros(11, dtype=torch.int64), boxes[:0])
    matcher = Matcher(0.7, 0.3, best_for_each)
    whole = matcher(boxes, target)
    monkeypatch.setattr(assign, "PAIRS", 50)
    for one, other in zip(whole, matcher(boxes, target)):
        assert torch.equal(one, other)
    assert matcher(boxes[:0], target)[0].shape == (0,)
