"""The detector against torchvision's, number for number, with the same random weights and the same input."""

import copy

import pytest
import torch
from torchvision.models.detection import FasterRCNN as Peer
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList

from detection.config.schema import AnchorConfig, ModelConfig, RoIConfig, RPNConfig
from detection.interop.torchvision import from_torchvision
from detection.model.build import build_model
from detection.records import Batch, Target

# Canvas sides are multiples of 64: elsewhere torchvision takes P6's stride as the rounded-down quotient of the sizes,
# 56 pixels for a 224-pixel canvas, where it is 64.
CLASSES, SIZES, ORIGINAL = 4, [(120, 192), (128, 150)], [(240, 384), (160, 190)]
ALL = 10**6  # a sample size that takes every anchor and every proposal, so that nothing is random


def peer_of(name: str) -> Peer:
    """torchvision's detector with scaled weights: plain random ones blow up under frozen norms."""
    torch.manual_seed(0)
    body = resnet_fpn_backbone(backbone_name=name, weights=None, trainable_layers=5)
    peer = Peer(
        body,
        num_classes=CLASSES + 1,
        rpn_batch_size_per_image=ALL,
        box_batch_size_per_image=ALL,
        rpn_positive_fraction=0.5,
        box_positive_fraction=0.5,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_train=500,
        rpn_post_nms_top_n_test=300,
        rpn_pre_nms_top_n_test=500,
    )
    with torch.no_grad():
        for key, value in peer.state_dict().items():
            if key.endswith(("bn3.weight", "bn2.weight")) and name != "resnet18" or key.endswith("bn2.weight"):
                value.fill_(0.3)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
        peer.rpn.head.cls_logits.weight.normal_(std=0.02)
        peer.rpn.head.bbox_pred.weight.normal_(std=0.003)
        peer.roi_heads.box_predictor.cls_score.weight.normal_(std=0.05)
    return peer


def ours_of(name: str, peer: Peer):
    config = ModelConfig(
        backbone=name,
        norm="frozen",
        freeze=0,
        anchors=AnchorConfig(rounded=True),
        rpn=RPNConfig(
            batch_per_image=ALL,
            train_before_nms=500,
            train_after_nms=300,
            test_before_nms=500,
            test_after_nms=300,
            min_side=1e-3,
            beta=1 / 9,
        ),
        roi=RoIConfig(pool="align_legacy", sampling_ratio=2, batch_per_image=ALL, positive_fraction=0.5, beta=1 / 9),
    )
    model = build_model(config, CLASSES)
    missing = model.load_state_dict(from_torchvision(peer.state_dict()), strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) == {"pixel_mean", "pixel_std"}
    return model


@pytest.fixture(scope="module", params=["resnet18", "resnet50"])
def pair(request):
    peer = peer_of(request.param)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 128, 192), generator=generator).to(torch.uint8)
    boxes = [torch.tensor([[20.0, 30, 90, 110], [100, 10, 190, 115]]), torch.tensor([[5.0, 20, 140, 120]])]
    labels = [torch.tensor([0, 3]), torch.tensor([2])]
    targets = [Target(b, n, torch.zeros(0, 4)) for b, n in zip(boxes, labels)]
    return ours_of(request.param, peer), peer, Batch(images, SIZES, ORIGINAL, [0, 1], targets)


def peer_input(model, batch: Batch) -> ImageList:
    return ImageList(model.normalise(batch), batch.sizes)


def test_anchors_are_identical(pair):
    model, peer, batch = pair
    features = peer.backbone(model.normalise(batch))
    theirs = peer.rpn.anchor_generator(peer_input(model, batch), list(features.values()))[0]
    ours = torch.cat(model.rpn.anchors([tuple(x.shape[-2:]) for x in model.maps(batch)]))
    assert torch.equal(ours, theirs)


@torch.no_grad()
def test_proposals_and_detections_are_equal(pair):
    model, peer, batch = pair
    model.eval(), peer.eval()
    images = peer_input(model, batch)
    features = peer.backbone(images.tensors)
    proposals, _ = peer.rpn(images, features)
    maps = model.maps(batch)
    output = model.rpn(maps)
    ours = model.selector(output.logits, output.deltas, output.anchors, batch.sizes, model.test_limits)
    for mine, theirs in zip(ours, proposals):
        assert len(mine.boxes) == len(theirs) == 300
        # As sets: two whose scores agree to the last bits may change places.
        distance = torch.cdist(mine.boxes, theirs, p=torch.inf)
        assert distance.amin(0).max() < 1e-4 * 192 and distance.amin(1).max() < 1e-4 * 192

    found = peer.transform.postprocess(peer.roi_heads(features, proposals, batch.sizes)[0], batch.sizes, ORIGINAL)
    for mine, theirs in zip(model(batch), found):
        assert len(mine.boxes) == len(theirs["boxes"]) > 5
        torch.testing.assert_close(mine.scores, theirs["scores"], atol=1e-4, rtol=1e-4)
        assert torch.equal(mine.labels + 1, theirs["labels"])
        torch.testing.assert_close(mine.boxes, theirs["boxes"], atol=1e-2, rtol=1e-4)


def test_losses_and_every_gradient_are_equal(pair):
    model, peer, batch = pair
    model, peer = copy.deepcopy(model).train(), copy.deepcopy(peer).train()
    # Bodies in float64: through 50 layers float32 rounds the same gradient to 3e-4 apart in other memory layouts.
    for body in (model.backbone, model.neck, peer.backbone):
        body.double()
    model.pixel_mean, model.pixel_std = model.pixel_mean.double(), model.pixel_std.double()
    images = peer_input(model, batch)
    targets = [{"boxes": t.boxes, "labels": t.labels + 1} for t in batch.targets]
    features = {level: x.float() for level, x in peer.backbone(images.tensors).items()}
    images = ImageList(images.tensors.float(), images.image_sizes)
    proposals, rpn_losses = peer.rpn(images, features, targets)
    _, roi_losses = peer.roi_heads(features, proposals, batch.sizes, targets)
    theirs = rpn_losses | roi_losses
    ours = model.losses([x.float() for x in model.maps(batch)], batch)
    names = {
        "rpn_objectness": "loss_objectness",
        "rpn_box": "loss_rpn_box_reg",
        "roi_class": "loss_classifier",
        "roi_box": "loss_box_reg",
    }
    for mine, their in names.items():
        torch.testing.assert_close(ours[mine], theirs[their], rtol=1e-4, atol=0)
        assert ours[mine] > 0
    sum(ours.values()).backward()
    sum(theirs.values()).backward()
    wanted = from_torchvision({k: p.grad for k, p in peer.named_parameters()})
    for name, parameter in model.named_parameters():
        difference = (parameter.grad - wanted.pop(name)).norm()
        assert difference <= 1e-4 * parameter.grad.norm(), name
    assert not wanted
