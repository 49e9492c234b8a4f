"""The traced inference ends where the plain one does, whatever the architecture."""

import pytest
import torch

from detection.config.schema import ModelConfig, RoIConfig, RPNConfig
from detection.model.build import build_model
from detection.model.trace import trace
from detection.records import Batch


def detector(architecture, **roi):
    torch.manual_seed(0)
    rpn = RPNConfig(test_before_nms=120, test_after_nms=15, min_side=2.0)
    backbone = {"vgg16": "vgg16"}.get(architecture, "resnet50" if architecture == "c4" else "resnet18")
    config = ModelConfig(
        architecture, backbone, None, width=8, fpn_channels=16, rpn=rpn, roi=RoIConfig(hidden=16, detections=12, **roi)
    )
    model = build_model(config, 3).eval()
    with torch.no_grad():
        model.rpn.head.objectness.weight.normal_(std=0.5)
        model.roi_stage.predictor.scores.weight.normal_(std=2.0)
        model.roi_stage.predictor.scores.bias[-1] = -20  # something is found
    return model


@pytest.mark.parametrize("roi", [{}, {"class_agnostic": True}, {"context": True}], ids=str)
@pytest.mark.parametrize("architecture", ["fpn", "c4", "dc5", "vgg16"])
def test_it_ends_with_the_detections(architecture, roi):
    model = detector(architecture, **roi)
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = Batch(images, [(96, 128), (80, 90)], [(96, 128), (80, 90)], [0, 1])
    with torch.inference_mode():
        expected = model(batch)
        proposals = model.propose(model.rpn(model.maps(batch)), batch, model.test_limits)
    for found, wanted, proposed in zip(trace(model, batch, model.infer(model.maps(batch), batch)), expected, proposals):
        reported = found.kept.nonzero().squeeze(1)[: found.limit]
        assert len(wanted.boxes) and torch.equal(found.labels[reported], wanted.labels)
        torch.testing.assert_close(found.boxes[reported], wanted.boxes)
        torch.testing.assert_close(found.scores[reported], wanted.scores)
        assert found.proposals == len(proposed.boxes) <= len(found.unsuppressed)
        torch.testing.assert_close(found.unsuppressed[: found.proposals], proposed.boxes)
        assert torch.cdist(found.candidates, found.anchor_boxes, p=torch.inf).amin(1).max() < 1e-2
        assert len(found.anchors) == len(found.anchor_boxes) == len(found.anchor_scores)
