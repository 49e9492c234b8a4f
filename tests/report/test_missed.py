"""Each cause planted in a detector that is otherwise right, and found."""

from dataclasses import replace

import pytest
import torch

from detection.model.trace import Trace
from detection.report.missed import CAUSES, passages

OBJECT = torch.tensor([[20.0, 20, 60, 60]])
FAR = torch.tensor([[70.0, 0, 100, 20]])
LABEL = torch.tensor([1])
FITS = 0.3


def shifted(pixels):
    return OBJECT + torch.tensor([pixels, 0.0, pixels, 0.0])


def probabilities(*each):
    return torch.tensor(each)


RIGHT = Trace(
    size=(100, 100),
    anchors=torch.cat([OBJECT + 4, FAR]),
    anchor_boxes=torch.cat([OBJECT + 1, FAR]),
    anchor_scores=torch.tensor([2.0, -1.0]),
    candidates=torch.cat([OBJECT + 1, FAR]),
    unsuppressed=torch.cat([OBJECT + 1, FAR]),
    proposals=2,
    region_boxes=torch.stack([OBJECT.expand(2, 4), FAR.expand(2, 4)]),  # (P, K, 4)
    region_scores=probabilities([0.1, 0.8, 0.1], [0.02, 0.02, 0.96]),
    boxes=OBJECT,
    scores=torch.tensor([0.8]),
    labels=torch.tensor([1]),
    kept=torch.tensor([True]),
    limit=5,
)

NONE = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
NONE = {**NONE, "kept": torch.zeros(0, dtype=torch.bool)}

PLANTED = {
    "anchor": {"anchors": torch.cat([shifted(38), FAR]), "anchor_boxes": torch.cat([FAR, FAR])},
    "proposal_box": {"anchor_boxes": torch.cat([shifted(25), FAR])},
    "proposal_score": {"candidates": FAR},
    "proposal_nms": {"unsuppressed": torch.cat([shifted(20), FAR])},
    "proposal_limit": {"unsuppressed": torch.cat([FAR, OBJECT]), "proposals": 1},
    "box": {"region_boxes": torch.stack([shifted(25).expand(2, 4), FAR.expand(2, 4)]), **NONE},
    "background": {"region_scores": probabilities([0.02, 0.03, 0.95], [0.0, 0.0, 1.0]), **NONE},
    "class": {"region_scores": probabilities([0.95, 0.03, 0.02], [0.0, 0.0, 1.0]), "labels": torch.tensor([0])},
    "score": {"region_scores": probabilities([0.3, 0.4, 0.3], [0.0, 0.0, 1.0]), **NONE},
    "nms": {
        "boxes": torch.cat([shifted(20), OBJECT]),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([1, 1]),
        "kept": torch.tensor([True, False]),
    },
    "limit": {
        "boxes": torch.cat([FAR, OBJECT]),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([0, 1]),
        "kept": torch.tensor([True, True]),
        "limit": 1,
    },
    "threshold": {"scores": torch.tensor([0.4])},
    "shared": {},
}


def test_every_cause_is_planted():
    assert list(PLANTED) == list(CAUSES)


@pytest.mark.parametrize("cause", CAUSES)
def test_the_planted_cause_is_found(cause):
    (passage,) = passages(replace(RIGHT, **PLANTED[cause]), OBJECT, LABEL, FITS)
    assert passage.cause(threshold=0.5) == cause


def test_what_came_through_says_how_well():
    (passage,) = passages(RIGHT, OBJECT, LABEL, FITS)
    assert (passage.lost, passage.seen_as, passage.rank) == (None, 1, 1)
    assert passage.score == pytest.approx(0.8) and passage.background == pytest.approx(0.1)


def test_a_detector_without_anything_has_a_cause_for_everything():
    nothing = torch.zeros(0, 4)
    empty = replace(
        RIGHT,
        anchors=nothing,
        anchor_boxes=nothing,
        anchor_scores=torch.zeros(0),
        candidates=nothing,
        unsuppressed=nothing,
        proposals=0,
        region_boxes=torch.zeros(0, 2, 4),
        region_scores=torch.zeros(0, 3),
        **NONE,
    )
    assert [p.cause(0.5) for p in passages(empty, torch.cat([OBJECT, FAR]), torch.tensor([0, 1]), FITS)] == [
        "anchor"
    ] * 2
    assert passages(RIGHT, nothing, torch.zeros(0, dtype=torch.int64), FITS) == []
