"""mmdetection's Faster R-CNN: what it found itself, with weights that a seed gives, and files of its as they are."""

from __future__ import annotations

import json

import pytest
import torch
from interop.mmdetection_fixture import FILE, SIZE, pixels, weights

import detection
from detection.errors import InputError
from detection.interop.foreign import read_foreign
from detection.interop.mmdetection import from_mmdetection
from detection.loading.detectors import load_detector
from detection.records import Batch

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def stored():
    return json.loads(FILE.read_text())


def saved(stored, path, **meta):
    torch.save({"meta": meta, "state_dict": weights(stored["shapes"])}, path)
    return path


@torch.no_grad()
def test_detections_are_those_of_mmdetection(stored, tmp_path):
    detector, config = load_detector(saved(stored, tmp_path / "r18.pth"), torch.device("cpu"))
    assert (config.model.backbone, config.model.width, config.model.fpn_channels) == ("resnet18", 8, 16)
    found = detector.model(Batch(pixels(), [SIZE], [SIZE], [0]))[0]
    assert len(found.scores) == len(stored["scores"]) > 20
    torch.testing.assert_close(found.scores, torch.tensor(stored["scores"]), atol=1e-4, rtol=1e-4)
    assert found.labels.tolist() == stored["labels"]
    torch.testing.assert_close(found.boxes, torch.tensor(stored["bboxes"]), atol=2e-2, rtol=1e-4)


@pytest.mark.parametrize("meta", [{"CLASSES": NAMES}, {"dataset_meta": {"classes": list(NAMES)}}])
def test_class_names_come_along(stored, tmp_path, meta):
    assert detection.load(saved(stored, tmp_path / "r18.pth", **meta), device="cpu").class_names == NAMES


def test_a_backbone_from_caffe_sees_bgr(stored, tmp_path):
    plain, caffe = (
        read_foreign(saved(stored, tmp_path / f"{name}.pth", cfg=f"backbone=dict(style='{name}')"))
        for name in ("pytorch", "caffe")
    )
    assert torch.equal(plain.state["backbone.conv1.weight"].flip(1), caffe.state["backbone.conv1.weight"])
    assert "pixel_mean" not in plain.state
    assert caffe.state["pixel_mean"].flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert not caffe.settings["model.stride_in_1x1"], "a ResNet-18 has no 1x1"


def test_other_detectors_of_mmdetection_are_refused_by_the_key(stored, tmp_path):
    state = weights(stored["shapes"])
    state["roi_head.mask_head.convs.0.conv.weight"] = torch.zeros(1)
    torch.save({"state_dict": state}, tmp_path / "mask.pth")
    with pytest.raises(InputError, match="mask.pth: roi_head.mask_head.*not a key of mmdetection's"):
        read_foreign(tmp_path / "mask.pth")
    with pytest.raises(ValueError, match="not a key"):
        from_mmdetection({"neck.fpn_convs.4.conv.weight": torch.zeros(1)})
