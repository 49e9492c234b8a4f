"""The whole detector, small: every architecture, every awkward batch."""

from dataclasses import replace

import pytest
import torch

from detection.config.schema import ModelConfig, RoIConfig, RPNConfig
from detection.model.build import build_model
from detection.model.faster_rcnn import LOSS_NAMES
from detection.model.proposals import Proposals, ProposalSelector
from detection.records import Batch, Target

ARCHITECTURES = {
    "fpn": ("resnet18", 8),
    "c4": ("resnet50", 8),
    "dc5": ("resnet18", 8),
    "vgg16": ("vgg16", 4),
}
OBJECTS = [
    Target(torch.tensor([[5.0, 8, 60, 50], [30, 20, 90, 62]]), torch.tensor([0, 2]), torch.zeros(0, 4)),
    Target(torch.tensor([[10.0, 10, 40, 70]]), torch.tensor([1]), torch.zeros(0, 4)),
]
NOTHING = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
SIZES, ORIGINAL = [(64, 96), (80, 50)], [(128, 190), (240, 151)]


def config_of(architecture, **settings) -> ModelConfig:
    backbone, width = ARCHITECTURES[architecture]
    rpn = RPNConfig(train_before_nms=200, train_after_nms=50, test_before_nms=200, test_after_nms=30)
    roi = RoIConfig(hidden=16, batch_per_image=32, score=0.0, detections=20)
    plain = ModelConfig(architecture, backbone, weights=None, width=width, fpn_channels=16, rpn=rpn, roi=roi)
    return replace(plain, **settings)


def model_of(config, classes=3):
    torch.manual_seed(0)
    return build_model(config, classes)


def batch_of(targets) -> Batch:
    images = torch.randint(0, 256, (2, 3, 80, 96), generator=torch.Generator().manual_seed(1))
    return Batch(images.to(torch.uint8), SIZES, ORIGINAL, [0, 1], targets)


def train_one_step(model, targets):
    """The losses of a step, once every parameter that trains is known to have a finite gradient."""
    losses = model.train()(batch_of(targets))
    assert tuple(losses) == LOSS_NAMES and all(loss.isfinite() and loss >= 0 for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name
    return losses


every_architecture = pytest.mark.parametrize("architecture", list(ARCHITECTURES))


@every_architecture
@pytest.mark.parametrize("targets", [OBJECTS, [OBJECTS[0], NOTHING], [NOTHING, NOTHING]], ids=["all", "one", "none"])
def test_trains_with_and_without_objects(architecture, targets):
    losses = train_one_step(model_of(config_of(architecture)), targets)
    empty = all(target is NOTHING for target in targets)
    assert (losses["rpn_box"] == 0) == (losses["roi_box"] == 0) == empty
    assert losses["rpn_objectness"] > 0 and losses["roi_class"] > 0


@every_architecture
def test_trains_without_proposals(architecture, monkeypatch):
    def none(self, logits, deltas, anchors, sizes, limits):
        return [Proposals(torch.zeros(0, 4), torch.zeros(0)) for _ in sizes]

    monkeypatch.setattr(ProposalSelector, "__call__", none)
    model = model_of(config_of(architecture))
    losses = train_one_step(model, [NOTHING, NOTHING])
    assert losses["roi_class"] == 0 and losses["roi_box"] == 0
    for found, original in zip(model.eval()(batch_of(None)), ORIGINAL):
        assert found.boxes.shape == (0, 4) and found.size == original


@every_architecture
def test_trains_a_single_class(architecture):
    targets = [replace(target, labels=torch.zeros_like(target.labels)) for target in OBJECTS]
    train_one_step(model_of(config_of(architecture), classes=1), targets)


@every_architecture
def test_trains_class_agnostic_boxes_with_giou_and_roi_pool(architecture):
    plain = config_of(architecture)
    rpn = replace(plain.rpn, box_loss="giou")
    roi = replace(plain.roi, box_loss="giou", class_agnostic=True, pool="pool")
    model = model_of(replace(plain, rpn=rpn, roi=roi))
    assert model.roi_stage.predictor.deltas.out_features == 4
    losses = train_one_step(model, OBJECTS)
    assert losses["roi_box"] > 0
    assert len(model.eval()(batch_of(None))[0].boxes)


@pytest.mark.parametrize("architecture", ["fpn", "c4", "dc5"])
@pytest.mark.parametrize("norm", ["frozen", "batch", "group"])
def test_trains_every_norm(architecture, norm):
    train_one_step(model_of(config_of(architecture, norm=norm)), OBJECTS)


@every_architecture
def test_frozen_stages_have_no_gradient(architecture):
    model = model_of(config_of(architecture, freeze=2))
    train_one_step(model, OBJECTS)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert frozen and all(name.startswith("backbone.") for name in frozen)


@every_architecture
@torch.no_grad()
def test_detections_lie_in_the_original_image_best_first(architecture):
    found = model_of(config_of(architecture)).eval()(batch_of(None))
    for one, (height, width) in zip(found, ORIGINAL):
        assert one.size == (height, width) and 0 < len(one.boxes) <= 20
        assert (one.boxes >= 0).all()
        assert (one.boxes[:, 0::2] <= width).all() and (one.boxes[:, 1::2] <= height).all()
        assert (one.boxes[:, 2:] > one.boxes[:, :2]).all()
        assert torch.equal(one.scores, one.scores.sort(descending=True).values)
        assert ((one.labels >= 0) & (one.labels < 3)).all()


@torch.no_grad()
def test_detections_do_not_depend_on_what_lies_in_the_padding():
    model = model_of(config_of("fpn")).eval()
    batch = batch_of(None)
    images = batch.images.clone()
    images[0, :, 64:], images[1, :, :, 50:] = 255, 7
    for mine, other in zip(model(batch), model(replace(batch, images=images))):
        assert torch.equal(mine.boxes, other.boxes) and torch.equal(mine.scores, other.scores)


@pytest.mark.parametrize(("architecture", "canvas"), [("fpn", (96, 96)), ("c4", (80, 96))])
def test_normalise_leaves_zeros_in_the_padding(architecture, canvas):
    model, batch = model_of(config_of(architecture)), batch_of(None)
    before = batch.images.clone()
    x = model.normalise(batch)
    assert x.shape == (2, 3, *canvas) and torch.equal(batch.images, before)
    for image, pixels, (h, w) in zip(x, batch.images, SIZES):
        assert not image[:, h:].any() and not image[:, :, w:].any()
        wanted = (pixels[:, :h, :w] - model.pixel_mean) / model.pixel_std
        torch.testing.assert_close(image[:, :h, :w], wanted)


def test_losses_need_targets():
    with pytest.raises(ValueError, match="losses need targets, and this batch has none"):
        model_of(config_of("fpn")).train()(batch_of(None))


def test_new_layers_start_as_in_the_papers():
    model = model_of(config_of("fpn", fpn_channels=64), classes=20)
    layers = (model.rpn.head.conv, model.roi_stage.predictor.scores, model.roi_stage.predictor.deltas)
    for layer, deviation in zip(layers, (0.01, 0.01, 0.001)):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.2) and not layer.bias.any()


FROZEN_LOSSES = {
    "fpn": [0.3130, 0.0942, 1.9270, 1.0786],
    "c4": [0.7893, 0.0595, 0.8207, 0.4043],
    "dc5": [0.9268, 0.0275, 2.4458, 0.6260],
    "vgg16": [0.6915, 0.0080, 1.3812, 0.4544],
}


@every_architecture
def test_losses_are_what_they_were(architecture, monkeypatch):
    """Catches a change of the arithmetic that no other test names. The numbers change only on purpose."""
    monkeypatch.setattr(torch, "randperm", lambda n, device=None, generator=None: torch.arange(n, device=device))
    model = model_of(config_of(architecture, norm="group" if architecture != "vgg16" else "auto"))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # not torch's initialisation, which may change with its version
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
                parameter.mul_(3.4 / parameter[0].numel() ** 0.5)
    model.roi_stage.head.eval()  # VGG's dropout
    losses = model.train().losses(model.maps(batch_of(OBJECTS)), batch_of(OBJECTS))
    assert [loss.item() for loss in losses.values()] == pytest.approx(FROZEN_LOSSES[architecture], abs=1e-4)


@every_architecture
@pytest.mark.parametrize("targets", [OBJECTS, [OBJECTS[0], NOTHING]], ids=["all", "one"])
def test_losses_of_what_was_inferred_are_those_of_training(architecture, targets):
    model = model_of(config_of(architecture)).eval()
    batch = replace(batch_of(targets), seeds=[3, 4])
    model.training_limits, model.roi_stage.append_truth = model.test_limits, False
    with torch.no_grad():
        maps = model.maps(batch)
        losses = model.validation_losses(model.infer(maps, batch), batch)
        for name, loss in model.losses(maps, batch).items():
            torch.testing.assert_close(losses[name], loss, rtol=1e-5, atol=1e-6)
