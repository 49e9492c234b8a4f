"""Files of torchvision's and detectron2's detectors as they are start a fine-tuning, with what their weights say."""

import importlib.util

import numpy as np
import pytest
import torch
import torchvision

from detection import checkpoint
from detection.cli.main import main
from detection.config.schema import ModelConfig
from detection.errors import InputError
from detection.interop.foreign import read_foreign
from detection.model.build import build_model

QUICK = "--device=cpu --train.iterations=1 --batch=1 --size=64 --workers=0 --train.lr=1e-30 --train.momentum=0"


@pytest.fixture(scope="module")
def torchvision_file(shared, tmp_path_factory):
    """The stored ResNet-18-FPN of five classes, as torch.save writes it."""
    folder = shared / "fixtures" / "torchvision"
    spec = importlib.util.spec_from_file_location("fixture", folder / "make_torchvision_fixture.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path = tmp_path_factory.mktemp("peer") / "detector.pth"
    torch.save(script.load_model(str(folder / "r18_fpn.npz")).state_dict(), path)
    return path


def test_a_torchvision_file_starts_a_fine_tuning_with_its_settings(torchvision_file, shapes, tmp_path, capsys):
    words = [f"--data={shapes}", f"--weights={torchvision_file}", f"--output={tmp_path / 'run'}", *QUICK.split()]
    assert main(["train", *words]) == 0
    assert (
        f"initialised from {torchvision_file}, with the predictor of no class; 6 classes from random weights"
        in capsys.readouterr().out
    )
    content = checkpoint.load(tmp_path / "run" / "best.pt", "detection")
    model, peer = content["config"]["model"], torch.load(torchvision_file, weights_only=True)
    assert (model["backbone"], model["width"], model["anchors"]["rounded"]) == ("resnet18", 64, True)
    assert (model["roi"]["pool"], model["roi"]["sampling_ratio"]) == ("align_legacy", 2)
    for ours, theirs in (("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"), ("roi_stage.head.fc7.bias",) * 2):
        theirs = theirs.replace("roi_stage.head", "roi_heads.box_head")
        assert torch.allclose(content["model"][ours], peer[theirs], atol=1e-12)


@pytest.mark.parametrize("name", ["r50_fpn", "r50_c4", "r50_dc5"])
def test_the_zoo_says_which_network_it_is(shared, name, shapes, tmp_path):
    file = shared / "fixtures" / "detectron2" / name / "model.pkl"
    found = read_foreign(file)
    assert found.settings["model.architecture"] == name.split("_")[1] and found.settings["model.backbone"] == "resnet50"
    assert found.settings["model.stride_in_1x1"] and not found.settings["model.roi.class_agnostic"]
    assert main(["train", f"--data={shapes}", f"--weights={file}", f"--output={tmp_path / 'run'}", *QUICK.split()]) == 0
    content = checkpoint.load(tmp_path / "run" / "best.pt", "detection")
    assert all(
        torch.allclose(content["model"][key], found.state[key], atol=1e-12) for key in found.state if "rpn" in key
    )
    assert torch.equal(content["model"]["pixel_mean"], found.state["pixel_mean"])


def test_heads_of_classes_of_the_same_name_are_kept_in_their_new_places():
    small = ModelConfig(backbone="resnet18", weights=None, width=8, fpn_channels=8)
    names, own = ("cat", "dog", "car"), ("bird", "Car", "cat")
    first, second = build_model(small, 3), build_model(small, 3)
    torch.nn.init.normal_(first.roi_stage.predictor.scores.bias)
    torch.nn.init.normal_(first.roi_stage.predictor.deltas.bias)
    before = second.roi_stage.predictor.scores.weight.clone()
    assert checkpoint.load_matching(second, first.state_dict(), None, names, own) == ["Car", "cat"]
    theirs, ours = first.roi_stage.predictor, second.roi_stage.predictor
    for row, place in ((1, 2), (2, 0), (3, 3)):
        assert torch.equal(ours.scores.weight[row], theirs.scores.weight[place])
        assert torch.equal(ours.scores.bias[row], theirs.scores.bias[place])
    for row, place in ((1, 2), (2, 0)):
        assert torch.equal(ours.deltas.bias[4 * row : 4 * row + 4], theirs.deltas.bias[4 * place : 4 * place + 4])
    assert torch.equal(ours.scores.weight[0], before[0])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn", "MobileNet"),
        ("maskrcnn_resnet50_fpn", "Mask or Keypoint R-CNN"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(make, reason, tmp_path, shapes, capsys):
    build = getattr(torchvision.models.detection, make)
    torch.save(build(weights=None, weights_backbone=None).state_dict(), tmp_path / "peer.pth")
    words = [f"--data={shapes}", f"--weights={tmp_path / 'peer.pth'}", f"--output={tmp_path / 'run'}"]
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_coco_names_come_with_the_published_number_of_classes(tmp_path):
    model = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(model.state_dict(), tmp_path / "coco.pth")
    found = read_foreign(tmp_path / "coco.pth")
    assert found.classes[0] == "person" and found.classes[89] == "toothbrush" and found.classes[11] == "N/A"
    assert found.settings["model.backbone"] == "resnet50" and found.settings["model.fpn_channels"] == 256
    own = build_model(ModelConfig(weights=None, norm="frozen"), 2)
    assert checkpoint.load_matching(own, found.state, tmp_path, found.classes, ("dog", "lesion")) == ["dog"]
    scores = model.roi_heads.box_predictor.cls_score.weight
    assert np.array_equal(own.roi_stage.predictor.scores.weight[0].detach(), scores[18].detach())


def test_plain_backbone_weights_are_no_detector(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "r18.pth")
    assert read_foreign(tmp_path / "r18.pth") is None
    (tmp_path / "junk.pth").write_bytes(b"junk")
    assert read_foreign(tmp_path / "junk.pth") is None
    (tmp_path / "junk.pkl").write_bytes(b"junk")
    with pytest.raises(InputError, match="junk.pkl"):
        read_foreign(tmp_path / "junk.pkl")
