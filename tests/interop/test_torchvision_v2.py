"""torchvision's second Faster R-CNN (batch norms in pyramid and box head, more convolutions) against ours, with random
weights; and files of other libraries as detectors of `detection.load` and of every command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import detection
from detection.cli.main import main
from detection.interop.foreign import read_foreign
from detection.interop.torchvision import from_torchvision
from detection.loading.detectors import load_detector
from detection.predict.prepare import prepare
from detection.records import Batch

pytestmark = pytest.mark.thorough

CPU = torch.device("cpu")


def enlivened(peer):
    """Random weights under which scores and boxes differ from place to place."""
    torch.manual_seed(0)
    with torch.no_grad():
        for key, value in peer.state_dict().items():
            if key.endswith("bn3.weight"):
                value.fill_(0.3)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif key.endswith("running_mean"):
                value.normal_(std=0.1)
        peer.rpn.head.cls_logits.weight.normal_(std=0.02)
        peer.rpn.head.bbox_pred.weight.normal_(std=0.003)
        peer.roi_heads.box_predictor.cls_score.weight.normal_(std=0.1)
    return peer


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    build = torchvision.models.detection.fasterrcnn_resnet50_fpn_v2
    torch.manual_seed(0)
    peer = build(weights=None, weights_backbone=None, num_classes=5, min_size=128, max_size=192)
    path = tmp_path_factory.mktemp("peer") / "v2.pth"
    torch.save(enlivened(peer).state_dict(), path)
    return path, peer


@torch.no_grad()
def test_the_second_version_finds_what_torchvision_finds(file):
    path, peer = file
    detector, config = load_detector(path, CPU)
    assert (config.model.head_norm, config.model.rpn.convolutions, config.model.roi.convolutions) == ("batch", 2, 4)
    model = detector.model
    pixels = torch.randint(0, 256, (1, 3, 128, 192), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    batch = Batch(pixels, [(128, 192)], [(128, 192)], [0])
    theirs = peer.eval()([pixels[0].float() / 255])[0]
    for ours in (model(batch)[0], prepare(model)(batch)[0]):
        assert len(ours.boxes) == len(theirs["boxes"]) > 5
        torch.testing.assert_close(ours.scores, theirs["scores"], atol=1e-4, rtol=1e-4)
        assert torch.equal(ours.labels + 1, theirs["labels"])
        torch.testing.assert_close(ours.boxes, theirs["boxes"], atol=2e-2, rtol=1e-4)


def test_its_maps_and_heads_are_equal_in_training_too(file):
    """Where batch norms use the batch: maps, the RPN's answers and the box head's, and the gradients of the pyramid."""
    path, peer = file
    model = load_detector(path, CPU)[0].model.train()
    # torchvision's backbone trains its batch norms, ours freezes them: only the heads are compared.
    peer.train().backbone.body.eval()
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    theirs, ours = list(peer.backbone(x).values()), model.trunk(x)
    for own, other in zip(ours, theirs):
        torch.testing.assert_close(own, other, atol=1e-4 * float(other.detach().abs().max()), rtol=0)
    logits, deltas = model.rpn.head(ours)
    for own, other in zip(logits, peer.rpn.head(theirs)[0]):
        torch.testing.assert_close(own, other.permute(0, 2, 3, 1).flatten(1), atol=1e-4, rtol=1e-4)
    pooled = torch.randn(6, 256, 7, 7, generator=torch.Generator().manual_seed(3))
    own, other = model.roi_stage.head(pooled), peer.roi_heads.box_head(pooled)
    torch.testing.assert_close(own, other, atol=1e-4 * float(other.detach().abs().max()), rtol=0)
    for levels in (ours, theirs):
        random = torch.Generator().manual_seed(4)
        sum((level * torch.randn(level.shape, generator=random)).sum() for level in levels).backward()
    wanted = from_torchvision({k: p.grad for k, p in peer.named_parameters() if p.grad is not None})
    compared = 0
    for name, parameter in model.neck.named_parameters():
        other = wanted[f"neck.{name}"]
        assert (parameter.grad - other).norm() <= 1e-3 * other.norm() + 1e-6, name
        compared += 1
    assert compared == 24


def test_the_second_version_is_fine_tuned(file, shapes, tmp_path):
    path, _ = file
    run = tmp_path / "run"
    quick = "--device=cpu --train.iterations=1 --batch=1 --size=64 --workers=0 --evaluate.report=false"
    assert main(["train", f"--data={shapes}", f"--weights={path}", f"--output={run}", *quick.split()]) == 0
    loaded = detection.load(run / "best.pt", device="cpu")
    assert loaded.config.model.head_norm == "batch" and loaded.class_names != ("class 1",)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_load_and_predict_take_a_file_of_torchvisions(file, photo, tmp_path, capsys):
    loaded = detection.load(file[0], device="cpu", size=64)
    assert loaded.class_names == ("class 1", "class 2", "class 3", "class 4")
    found = loaded(photo)
    out = tmp_path / "out"
    words = [str(photo), f"--checkpoint={file[0]}", "--size=64", f"--output={out}", "--score=0.05", "--device=cpu"]
    assert main(["predict", *words]) == 0
    written = json.loads((out / "predictions.json").read_text())[0]["detections"]
    assert len(written) == len(found.boxes) > 0


@pytest.mark.parametrize("name", ["r50_fpn", "r50_c4", "r50_dc5"])
def test_load_takes_a_model_of_detectron2s_zoo(shared, name, photo):
    path = shared / "fixtures" / "detectron2" / name / "model.pkl"
    loaded = detection.load(path, device="cpu", size=96)
    foreign = read_foreign(path)
    assert len(loaded.class_names) == 5 and loaded.config.model.architecture == name.split("_")[1]
    assert torch.equal(loaded.detector.model.pixel_mean, foreign.state["pixel_mean"])
    assert np.isfinite(loaded(photo).scores).all()


def test_evaluate_takes_a_foreign_file_whose_classes_are_known(shapes, tmp_path, capsys):
    """A zoo file of 80 classes has COCO's names; shapes are none of these, which is said in a line."""
    build = torchvision.models.detection.fasterrcnn_resnet50_fpn
    path = tmp_path / "coco.pth"
    torch.save(build(weights=None, weights_backbone=None, num_classes=91).state_dict(), path)
    detector, _ = load_detector(path, CPU)
    assert detector.class_names[0] == "person" and len(set(detector.class_names)) == 90
    assert main(["evaluate", f"--checkpoint={path}", f"--data={shapes}", "--device=cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "class" in error


def test_threshold_says_that_it_needs_a_checkpoint_of_its_own(file, capsys):
    assert main(["threshold", str(file[0])]) == 2
    assert "not a checkpoint that `frcnn train` wrote" in capsys.readouterr().err
