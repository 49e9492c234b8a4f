"""Box voting, Soft-NMS and weighted box fusion against loops that spell them out."""

import importlib.util
import sys

import pytest
import torch

from detection.errors import InputError
from detection.geometry.boxes import iou
from detection.model.selection import Candidates, strongest
from detection.predict.fusion import fuse, require_fusion
from detection.predict.soft_nms import soften
from detection.predict.voting import vote

SIZE = (60, 80)
has_fusion = pytest.mark.skipif(
    importlib.util.find_spec("ensemble_boxes") is None, reason="ensemble-boxes (the extra `fusion`) is not installed"
)


def some(count, seed=0, classes=2):
    """Boxes that lie in heaps, so that many overlap."""
    generator = torch.Generator().manual_seed(seed)
    heaps = torch.tensor([[5.0, 5, 30, 30], [40, 10, 75, 50], [10, 25, 50, 58]])
    boxes = heaps[torch.randint(0, 3, (count,), generator=generator)] + torch.randn((count, 4), generator=generator) * 2
    scores = torch.rand(count, generator=generator) * 0.9 + 0.05
    return Candidates(boxes.clamp(0, 60), scores, torch.randint(0, classes, (count,), generator=generator))


def overlap(a, b):
    return iou(a[None], b[None]).item()


def test_every_box_becomes_the_mean_of_those_that_overlap_it():
    voters = some(40)
    kept = strongest(voters, 0.3, 100)
    voted = vote(kept, voters)
    assert torch.equal(voted.scores, kept.scores) and torch.equal(voted.labels, kept.labels)
    moved = 0
    for i in range(len(kept.boxes)):
        total, weight = torch.zeros(4), 0.0
        for j in range(len(voters.boxes)):
            if voters.labels[j] == kept.labels[i] and overlap(kept.boxes[i], voters.boxes[j]) >= 0.5:
                total += voters.scores[j] * voters.boxes[j]
                weight += voters.scores[j].item()
        torch.testing.assert_close(voted.boxes[i], total / weight)
        moved += not torch.equal(voted.boxes[i], kept.boxes[i])
    assert moved >= 3


def test_a_box_without_votes_stays_and_so_does_nothing():
    kept = Candidates(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([0.7]), torch.tensor([1]))
    elsewhere = Candidates(torch.tensor([[0.0, 0, 9, 9], [8, 8, 17, 17]]), torch.rand(2), torch.tensor([0, 1]))
    assert torch.equal(vote(kept, elsewhere).boxes, kept.boxes)
    assert len(vote(some(0), some(3)).boxes) == 0 and len(vote(some(0), some(0)).boxes) == 0


@pytest.mark.parametrize("nms", [0.0, 0.3, 0.6])
def test_soft_nms_decays_what_overlaps(nms):
    found, least = some(40), 0.05
    boxes, scores, labels = list(found.boxes), found.scores.tolist(), found.labels.tolist()
    wanted = []
    while scores:
        best = max(range(len(scores)), key=scores.__getitem__)
        box, score, label = boxes.pop(best), scores.pop(best), labels.pop(best)
        if score <= least:
            break
        wanted.append((box, score, label))
        for i, other in enumerate(boxes):
            shared = overlap(box, other)
            if labels[i] == label and shared >= nms:
                scores[i] *= 1 - shared
    kept = soften(found, nms, 100, least)
    assert len(kept.boxes) == len(wanted) > 5
    torch.testing.assert_close(kept.boxes, torch.stack([box for box, _, _ in wanted]))
    torch.testing.assert_close(kept.scores, torch.tensor([score for _, score, _ in wanted]))
    assert kept.labels.tolist() == [label for _, _, label in wanted]
    limited = soften(found, nms, 3, least)
    assert torch.equal(limited.boxes, kept.boxes[:3]) and torch.equal(limited.scores, kept.scores[:3])
    assert len(soften(some(0), nms, 100, least).boxes) == 0


@has_fusion
def test_fusion_clusters_as_the_paper_says():
    found, nms = some(30), 0.55
    clusters = []  # each a list of rows; a box joins the cluster of its class whose mean it overlaps most
    mean = lambda rows: (found.scores[rows, None] * found.boxes[rows]).sum(0) / found.scores[rows].sum()  # noqa: E731
    for row in found.scores.argsort(descending=True).tolist():
        near = [
            (overlap(mean(rows), found.boxes[row]), k)
            for k, rows in enumerate(clusters)
            if found.labels[rows[0]] == found.labels[row]
        ]
        shared, best = max(near, default=(0.0, -1))
        clusters[best].append(row) if shared > nms else clusters.append([row])
    clusters.sort(key=lambda rows: -found.scores[rows[0]].item())
    fused = fuse(found, nms, 100, SIZE)
    assert len(fused.boxes) == len(clusters) < 30
    torch.testing.assert_close(fused.boxes, torch.stack([mean(rows) for rows in clusters]), atol=1e-3, rtol=0)
    torch.testing.assert_close(fused.scores, torch.stack([found.scores[rows[0]] for rows in clusters]))
    assert fused.labels.tolist() == [found.labels[rows[0]].item() for rows in clusters]
    assert torch.equal(fuse(found, nms, 2, SIZE).boxes, fused.boxes[:2])
    assert len(fuse(some(0), nms, 2, SIZE).boxes) == 0


def test_fusion_names_the_extra_where_its_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ensemble_boxes", None)
    with pytest.raises(InputError, match="pip install ensemble-boxes$"):
        require_fusion()
