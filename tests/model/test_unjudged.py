"""Classes that were not annotated in an image teach nothing there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from detection.config.schema import ModelConfig, RoIConfig, RPNConfig
from detection.model.build import build_model
from detection.records import Batch, Target

BOX = torch.tensor([[5.0, 8, 60, 50]])
WITH, WITHOUT = (Target(BOX[:n], torch.zeros(n, dtype=torch.int64), torch.zeros(0, 4)) for n in (1, 0))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    rpn = RPNConfig(train_before_nms=200, train_after_nms=50)
    roi = RoIConfig(hidden=16, batch_per_image=32)
    config = ModelConfig("fpn", "resnet18", weights=None, width=8, fpn_channels=16, rpn=rpn, roi=roi)
    model = build_model(config, 3).train()
    torch.nn.init.normal_(model.roi_stage.predictor.scores.weight, std=0.3)
    return model


def learned(model, *targets):
    """(losses, gradient of the class scores' bias, gradient of the objectness' bias); the last score is background."""
    images = torch.randint(0, 256, (len(targets), 3, 64, 96), generator=torch.Generator().manual_seed(1))
    size = [(64, 96)] * len(targets)
    batch = Batch(
        images.to(torch.uint8), size, size, list(range(len(targets))), list(targets), seeds=[7] * len(targets)
    )
    model.zero_grad()
    losses = model(batch)
    sum(losses.values()).backward()
    losses = {name: loss.detach() for name, loss in losses.items()}
    return losses, model.roi_stage.predictor.scores.bias.grad.clone(), model.rpn.head.objectness.bias.grad.clone()


def without(target, *labels, background=False):
    return replace(target, unjudged=torch.tensor(labels), background=background)


def test_a_region_without_an_object_is_background_or_one_of_them(model):
    """The scores of background and class 1 are pushed up together, by what they lack together; class 2 alone down."""
    _, usual, _ = learned(model, WITHOUT)
    assert usual[1] > 0 and usual[-1] < 0
    _, spared, _ = learned(model, without(WITHOUT, 1))
    assert spared[1] < 0 and spared[-1] < 0 and spared[0] > 0 and spared[2] > 0
    assert spared[0] == pytest.approx(usual[0]) and spared[2] == pytest.approx(usual[2])


def test_nothing_is_taught_where_nothing_was_annotated(model):
    losses, scores, objectness = learned(model, without(WITHOUT, 0, 1, 2))
    assert all(loss == pytest.approx(0, abs=1e-5) for loss in losses.values())
    assert scores.abs().max() < 1e-6 and objectness.abs().max() == 0


def test_anchors_without_an_object_are_background_only_where_asked(model):
    _, _, spared = learned(model, without(WITH, 1))
    assert (spared <= 0).all() and (spared < 0).any()  # only objects, which push the score up
    _, _, taught = learned(model, without(WITH, 1, background=True))
    _, _, usual = learned(model, WITH)
    assert torch.equal(taught, usual) and (usual > 0).any()


def test_the_other_images_of_a_batch_learn_as_ever(model):
    alone = learned(model, WITH)[0]["roi_class"]
    beside = learned(model, WITH, without(WITHOUT, 0, 1, 2))[0]["roi_class"]
    # Both are means over the regions of their batches, of which the second has twice as many.
    assert beside * 2 == pytest.approx(alone.item(), rel=0.2) and beside < alone
