"""Improvements at test time against slow ways to the same numbers, and all of them together on small models."""

import functools
import importlib.util
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from detection.config.schema import ModelConfig, RoIConfig, RPNConfig
from detection.errors import InputError
from detection.geometry.boxes import iou, rescale
from detection.model.build import build_model
from detection.model.proposals import Proposals, ProposalSelector
from detection.model.selection import Candidates, candidates, strongest, to_detections
from detection.predict.detector import Detector
from detection.predict.improved import SUPPRESSIONS, ImprovedDetector, Improvements, refined
from detection.predict.passes import Pass, look, mirror, passes_of, propose, score, two_scales
from detection.predict.voting import vote

ARCHITECTURES = {"fpn": ("resnet18", 8), "c4": ("resnet50", 8), "dc5": ("resnet18", 8), "vgg16": ("vgg16", 4)}
NAMES = ("disc", "box", "star")
SUPPRESSED = [k for k in SUPPRESSIONS if k != "wbf" or importlib.util.find_spec("ensemble_boxes")]
every_architecture = pytest.mark.parametrize("architecture", list(ARCHITECTURES))


@functools.cache
def detector_of(architecture="fpn", names=NAMES, seed=0, side=64, **roi):
    backbone, width = ARCHITECTURES[architecture]
    rpn = RPNConfig(test_before_nms=200, test_after_nms=30)
    roi = RoIConfig(**{"hidden": 16, "score": 0.0, "detections": 20, "sampling_ratio": 1, **roi})
    config = ModelConfig(architecture, backbone, weights=None, width=width, fpn_channels=16, rpn=rpn, roi=roi)
    torch.manual_seed(seed)
    model = build_model(config, len(names)).eval()
    detector = Detector(model, names, side, 2 * side, torch.device("cpu"))
    with torch.no_grad():  # logits and deltas of about 1, or classes score alike and boxes stay
        view, stage = look(detector, picture(), side), model.roi_stage
        length = stage.features(model.region_maps(view.maps), [torch.tensor([[9.0, 9, 50, 50]])], [view.size]).norm()
        stage.predictor.scores.weight.normal_().div_(length)
        stage.predictor.deltas.weight.normal_().div_(length)
    return detector


def picture(height=70, width=111, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(mine, other):
    assert torch.equal(mine.boxes, other.boxes) and torch.equal(mine.scores, other.scores)
    assert torch.equal(mine.labels, other.labels) and mine.size == other.size


def assert_sound(found, image, classes=3, limit=20):
    height, width = image.shape[:2]
    assert found.size == (height, width) and len(found.boxes) <= limit
    assert found.boxes.isfinite().all() and (found.boxes >= 0).all()
    assert (found.boxes[:, 0::2] <= width).all() and (found.boxes[:, 1::2] <= height).all()
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)
    assert ((found.labels >= 0) & (found.labels < classes)).all()


@pytest.fixture
def regions():
    return torch.tensor([[3.0, 4, 40, 33], [10, 2, 95, 60], [50, 20, 71, 44], [0, 0, 101, 64]])


@every_architecture
@pytest.mark.parametrize("roi", [{}, {"context": True}, {"class_agnostic": True}], ids=["plain", "context", "agnostic"])
def test_with_nothing_switched_on_it_is_the_detector(architecture, roi):
    detector, images = detector_of(architecture, **roi), [picture(), picture(120, 80, seed=1)]
    found = ImprovedDetector([detector])(images)
    assert len(found) == 2 and ImprovedDetector([detector])([]) == []
    for image, one in zip(images, found):
        assert len(one.boxes)
        assert_same(one, detector([image])[0])


@every_architecture
@pytest.mark.parametrize("context", [False, True])
@torch.inference_mode()
def test_two_scales_are_merged_by_maximum(architecture, context, regions):
    detector, image = detector_of(architecture, context=context), picture(64, 101)
    sides, frame = [96, 48, 192, 384], (64, 101)
    plain = look(detector, image, 64)
    boxes, scores = score(passes_of(detector, image, plain, sides, flip=False), regions, frame)
    stage, model, used = detector.model.roi_stage, detector.model, set()
    for row, region in enumerate(regions):
        away = []
        for side in sorted(sides):
            view = look(detector, image, side)
            seen = rescale(region[None], frame, view.size)
            pixels = ((seen[0, 2] - seen[0, 0]) * (seen[0, 3] - seen[0, 1])).item()
            away.append((abs(pixels - 224**2), view, seen))
        best = min(range(4), key=lambda k: away[k][0])
        second = min((k for k in (best - 1, best + 1) if 0 <= k < 4), key=lambda k: away[k][0])
        used |= {best, second}
        features = [
            stage.features(model.region_maps(view.maps), [seen], [view.size])
            for _, view, seen in (away[best], away[second])
        ]
        own_boxes, own_scores = stage.read(torch.maximum(*features), region[None])
        torch.testing.assert_close(boxes[row], own_boxes[0], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(scores[row], own_scores[0], atol=1e-5, rtol=1e-4)
    assert len(used) >= 3, "the regions must not all want the same scales"


def test_the_second_scale_is_the_better_neighbour():
    sizes = [(100, 100), (200, 200), (400, 400)]
    squares = torch.tensor([[0.0, 0, s, s] for s in (0.1, 20, 40, 56, 90, 100)])
    chosen = two_scales(squares, (100, 100), sizes)
    assert chosen.nonzero()[:, 1].view(-1, 2).tolist() == [[1, 2], [1, 2], [1, 2], [1, 2], [0, 1], [0, 1]]
    large = torch.tensor([[0.0, 0, 400, 400], [0, 0, 224, 224]])
    assert two_scales(large, (100, 100), sizes).tolist() == [[True, True, False]] * 2
    assert two_scales(large, (100, 100), sizes[:1]).tolist() == [[True]] * 2
    assert two_scales(large[:0], (100, 100), sizes).shape == (0, 3)


def test_the_long_side_follows_the_scale():
    detector = detector_of()
    assert look(detector, picture(50, 400), 64).size == (16, 128)
    assert look(detector, picture(50, 400), 96).size == (24, 192)
    one_scale = ImprovedDetector([detector], Improvements(scales=(64,)))
    assert_same(one_scale([picture()])[0], detector([picture()])[0])


@every_architecture
@torch.inference_mode()
def test_the_mirrored_pass_sees_a_mirrored_image(architecture, regions):
    detector, image, frame = detector_of(architecture), picture(64, 101), (64, 101)
    other = np.ascontiguousarray(image[:, ::-1])
    there = score([Pass(detector, [look(detector, other, 64)], False)], mirror(regions, 101), frame)
    both = [
        score([one], regions, frame) for one in passes_of(detector, image, look(detector, image, 64), (), flip=True)
    ]
    torch.testing.assert_close(both[1][0], mirror(there[0], 101), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(both[1][1], there[1])
    boxes, scores = score(passes_of(detector, image, look(detector, image, 64), (), flip=True), regions, frame)
    torch.testing.assert_close(boxes, (both[0][0] + both[1][0]) / 2)
    torch.testing.assert_close(scores, (both[0][1] + both[1][1]) / 2)
    assert not torch.equal(both[0][1], both[1][1])


def test_a_mirrored_image_gives_mirrored_detections(monkeypatch, regions):
    """With proposals that are mirrored too, which those of the RPN are not quite."""
    fixed = []
    monkeypatch.setattr(ProposalSelector, "__call__", lambda *_: [Proposals(fixed[0], torch.zeros(len(fixed[0])))])
    improved = ImprovedDetector([detector_of()], Improvements(flip=True, refine=True, scales=(32, 64, 96)))
    image = picture(64, 101)
    fixed[:] = [regions]
    here = improved([image])[0]
    fixed[:] = [mirror(regions, 101)]
    there = improved([np.ascontiguousarray(image[:, ::-1])])[0]
    assert len(here.boxes) == len(there.boxes) > 3
    torch.testing.assert_close(here.scores, there.scores)
    torch.testing.assert_close(here.boxes, mirror(there.boxes, 101), atol=1e-2, rtol=0)


@pytest.mark.parametrize("architecture", ["c4", "dc5", "vgg16"])  # one map: its proposals survive their own union
def test_a_model_twice_is_the_model(architecture):
    detector, image = detector_of(architecture), picture()
    assert_same(ImprovedDetector([detector, detector])([image])[0], detector([image])[0])


@torch.inference_mode()
def test_an_ensemble_shares_proposals_and_averages():
    first, second = detector_of("fpn"), detector_of("c4", seed=1, side=96, class_agnostic=True)
    image = picture()
    views = [look(first, image, 64), look(second, image, 96)]
    frame = views[0].size
    regions = propose([first, second], views, frame)
    cut = propose([first, second], views, frame, cut=True)
    alone = [propose([d], [v], v.size) for d, v in zip((first, second), views)]
    assert len(cut) == 30 < len(regions) <= sum(map(len, alone)) and torch.equal(cut, regions[:30])
    assert (iou(regions, regions) - torch.eye(len(regions))).max() <= 0.7 + 1e-5
    passes = [Pass(d, [v], False) for d, v in zip((first, second), views)]
    boxes, scores = score(passes, regions, frame)
    total_boxes, total_scores = torch.zeros(len(regions), 3, 4), torch.zeros(len(regions), 3)
    for detector, view in zip((first, second), views):
        stage, seen = detector.model.roi_stage, rescale(regions, frame, view.size)
        own, mine = stage.read(stage.features(detector.model.region_maps(view.maps), [seen], [view.size]), seen)
        total_boxes += rescale(own, view.size, frame)
        total_scores += mine
    torch.testing.assert_close(boxes, total_boxes / 2, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(scores, total_scores / 2)


def test_an_ensemble_needs_one_list_of_classes():
    with pytest.raises(InputError, match="class 1 is 'box' in model 1 and 'cube' in model 2"):
        ImprovedDetector([detector_of(), detector_of(names=("disc", "cube", "star"))])
    with pytest.raises(InputError, match="class 2 is 'star' in model 1 and missing in model 3"):
        ImprovedDetector([detector_of(), detector_of(), detector_of(names=("disc", "box"))])


@torch.inference_mode()
def test_candidates_too_weak_to_be_detections_vote_too():
    picky, image = detector_of("fpn", score=0.4), picture()
    view = look(picky, image, 64)
    boxes, scores = score([Pass(picky, [view], False)], propose([picky], [view], view.size), view.size)
    strong, every = (candidates(boxes, scores, view.size, least) for least in (0.4, 0.0))
    kept = strongest(strong, 0.5, 20)
    found = ImprovedDetector([picky], Improvements(vote=True))([image])[0]
    assert_same(found, to_detections(vote(kept, every), view.size, (70, 111)))
    assert len(kept.boxes) and not torch.equal(vote(kept, every).boxes, vote(kept, strong).boxes)


@every_architecture
@pytest.mark.parametrize("agnostic", [False, True])
@torch.inference_mode()
def test_refinement_scores_the_regressed_boxes_too(architecture, agnostic):
    detector, image = detector_of(architecture, class_agnostic=agnostic), picture()
    model, stage = detector.model, detector.model.roi_stage
    view = look(detector, image, 64)
    maps, (height, width) = model.region_maps(view.maps), view.size
    regions = model.propose(model.rpn(view.maps), view.batch, model.test_limits)[0].boxes
    boxes, scores = stage.read(stage.features(maps, [regions], [view.size]), regions)
    again = []
    for own, of_class in zip(boxes, scores):
        x1, y1, x2, y2 = own[0 if agnostic else of_class.argmax()].tolist()
        box = [min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height)]
        if box[2] > box[0] and box[3] > box[1]:
            again.append(box)
    again = torch.tensor(again)
    more_boxes, more_scores = stage.read(stage.features(maps, [again], [view.size]), again)
    union = [candidates(b, s, view.size, 0.0) for b, s in ((boxes, scores), (more_boxes, more_scores))]
    union = Candidates(*(torch.cat([getattr(u, n) for u in union]) for n in ("boxes", "scores", "labels")))
    kept = strongest(union, 0.3, 20)
    unvoted = ImprovedDetector([detector], Improvements(refine=True, vote=False))([image])[0]
    assert_same(unvoted, to_detections(kept, view.size, (70, 111)))
    voted = ImprovedDetector([detector], Improvements(refine=True))([image])[0]
    assert_same(voted, to_detections(vote(kept, union), view.size, (70, 111)))
    assert not torch.equal(voted.boxes, unvoted.boxes)


def test_refined_boxes_are_those_of_the_best_class_within_the_image():
    boxes = torch.tensor([[[0.0, 0, 5, 5], [-3, 2, 90, 9]], [[-9, -9, -1, -1], [0, 0, 4, 4]]])
    scores = torch.tensor([[0.1, 0.2], [0.5, 0.1]])
    assert refined(boxes, scores, (20, 30)).tolist() == [[0, 2, 30, 9]]
    assert refined(boxes[:, :1], scores, (20, 30)).tolist() == [[0, 0, 5, 5]]
    assert refined(boxes[:0], scores[:0], (20, 30)).shape == (0, 4)


def test_the_threshold_of_suppression():
    limits = detector_of(nms=0.45).model.roi_stage.limits
    assert Improvements().threshold(limits) == 0.45 and Improvements(refine=True).threshold(limits) == 0.3
    assert Improvements(nms=0.6).threshold(limits) == Improvements(refine=True, nms=0.6).threshold(limits) == 0.6


@pytest.mark.parametrize("settings", [{"suppression": "hard"}, {"scales": (0, 64)}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match="there is no suppression 'hard'; there is nms|short sides in pixels"):
        Improvements(**settings)


@pytest.mark.parametrize(
    ("refine", "flip", "scales", "suppression", "several"),
    list(itertools.product([False, True], [False, True], [(), (48, 64, 96)], SUPPRESSED, [False, True])),
)
def test_every_combination_runs(refine, flip, scales, suppression, several):
    detectors = [detector_of(), detector_of("dc5", context=True)] if several else [detector_of(context=True)]
    detectors[0].model.train()
    improvements = Improvements(refine, None, scales, flip, suppression, 0.4)
    found = ImprovedDetector(detectors, improvements)([picture()])[0]
    assert len(found.boxes) and detectors[0].model.training
    detectors[0].model.eval()
    assert_sound(found, picture())
    if not refine:
        voted = ImprovedDetector(detectors, replace(improvements, vote=True))([picture()])[0]
        assert_sound(voted, picture())
        assert torch.equal(voted.scores, found.scores)


@every_architecture
@pytest.mark.parametrize("suppression", SUPPRESSED)
def test_one_class_no_proposals_no_detections(architecture, suppression, monkeypatch):
    everything = Improvements(True, True, (48, 64), True, suppression)
    one_class = detector_of(architecture, names=("thing",), context=True)
    assert_sound(ImprovedDetector([one_class], everything)([picture()])[0], picture(), classes=1)
    certain = detector_of(architecture, score=1.0, class_agnostic=True)
    assert len(ImprovedDetector([certain, certain], everything)([picture()])[0].boxes) == 0
    none = [Proposals(torch.zeros(0, 4), torch.zeros(0))]
    monkeypatch.setattr(ProposalSelector, "__call__", lambda *_: none)
    for detectors in ([one_class], [certain, certain]):
        assert ImprovedDetector(detectors, everything)([picture()])[0].boxes.shape == (0, 4)
