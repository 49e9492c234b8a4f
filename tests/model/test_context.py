"""The feature of the whole image beside each region's (He et al. 2015, appendix B), and the halves of selection."""

import pytest
import torch

from detection.config.schema import ModelConfig, RoIConfig, RPNConfig
from detection.model.build import build_model
from detection.records import Batch, Target

ARCHITECTURES = {"fpn": ("resnet18", 8), "c4": ("resnet50", 8), "dc5": ("resnet18", 8), "vgg16": ("vgg16", 4)}
SIZES, ORIGINAL = [(64, 96), (80, 50)], [(128, 190), (240, 151)]
BOXES = [torch.tensor([[5.0, 8, 60, 50], [30, 20, 90, 62]]), torch.tensor([[10.0, 10, 40, 70]])]
TARGETS = [Target(boxes, torch.zeros(len(boxes), dtype=torch.int64), torch.zeros(0, 4)) for boxes in BOXES]
every_architecture = pytest.mark.parametrize("architecture", list(ARCHITECTURES))


def model_of(architecture, context=True):
    torch.manual_seed(0)
    backbone, width = ARCHITECTURES[architecture]
    rpn = RPNConfig(train_before_nms=200, train_after_nms=50, test_before_nms=200, test_after_nms=30)
    roi = RoIConfig(hidden=16, batch_per_image=32, score=0.0, detections=20, context=context)
    config = ModelConfig(architecture, backbone, weights=None, width=width, fpn_channels=16, rpn=rpn, roi=roi)
    return build_model(config, 3)


def batch_of(targets=None):
    images = torch.randint(0, 256, (2, 3, 80, 96), generator=torch.Generator().manual_seed(1))
    return Batch(images.to(torch.uint8), SIZES, ORIGINAL, [0, 1], targets)


@every_architecture
@torch.no_grad()
def test_context_is_the_whole_image_pooled_and_run_through_the_head(architecture):
    model, batch = model_of(architecture).eval(), batch_of()
    stage, maps = model.roi_stage, model.region_maps(model.maps(batch))
    feature = stage.features(maps, BOXES, SIZES)
    own = stage.head(stage.pooler(maps, BOXES))
    for row, image in enumerate([0, 0, 1]):
        height, width = SIZES[image]
        alone = [x[image : image + 1] for x in maps]
        whole = stage.head(stage.pooler(alone, [torch.tensor([[0.0, 0, width, height]])]))
        torch.testing.assert_close(feature[row], torch.cat([own[row], whole[0]]))
    logits, deltas = stage(maps, BOXES, SIZES)
    assert logits.shape == (3, 4) and deltas.shape == (3, 3, 4)


@every_architecture
def test_context_trains_end_to_end(architecture):
    model = model_of(architecture).train()
    sum(model(batch_of(TARGETS)).values()).backward()
    inputs = model.roi_stage.predictor.scores.weight.grad
    own, whole = inputs.split(inputs.shape[1] // 2, 1)
    assert own.abs().sum() > 0 and whole.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@every_architecture
@torch.no_grad()
def test_without_context_nothing_is_added(architecture):
    model = model_of(architecture, context=False).eval()
    stage, maps = model.roi_stage, model.region_maps(model.maps(batch_of()))
    logits, _ = stage(maps, BOXES, SIZES)
    assert torch.equal(logits, stage.predictor(stage.head(stage.pooler(maps, BOXES)))[0])
    assert set(model.state_dict()) == set(model_of(architecture).state_dict())


@torch.no_grad()
def test_context_without_regions():
    model = model_of("fpn").eval()
    maps = model.region_maps(model.maps(batch_of()))
    empty = torch.zeros(0, 4)
    stage, regions = model.roi_stage, [empty, empty]
    found = stage.select(*stage(maps, regions, SIZES), regions, SIZES, ORIGINAL)
    assert [len(d.boxes) for d in found] == [0, 0]
    assert len(model.roi_stage.features(maps, [empty, BOXES[1]], SIZES)) == 1


@torch.no_grad()
def test_detections_do_not_depend_on_the_padding():
    model, batch = model_of("c4").eval(), batch_of()
    batch.images[0, :, 64:], batch.images[1, :, :, 50:] = 0, 0
    before = model(batch)
    batch.images[0, :, 64:], batch.images[1, :, :, 50:] = 255, 7
    for mine, other in zip(before, model(batch)):
        assert torch.equal(mine.boxes, other.boxes) and torch.equal(mine.scores, other.scores)
