"""torchvision's detector as its own run left it on disk; the live comparison is tests/model/test_torchvision_parity."""

import importlib.util

import numpy as np
import pytest
import torch

from detection.config.schema import AnchorConfig, ModelConfig, RoIConfig, RPNConfig
from detection.interop.torchvision import from_torchvision
from detection.model.build import build_model
from detection.records import Batch


@torch.no_grad()
def test_detections_of_the_stored_resnet18(shared):
    folder = shared / "fixtures" / "torchvision"
    spec = importlib.util.spec_from_file_location("fixture", folder / "make_torchvision_fixture.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    peer = script.load_model(str(folder / "r18_fpn.npz"))
    model = build_model(
        ModelConfig(
            backbone="resnet18",
            weights=None,
            norm="frozen",
            anchors=AnchorConfig(rounded=True),
            rpn=RPNConfig(min_side=1e-3),
            roi=RoIConfig(pool="align_legacy", sampling_ratio=2, score=0.02),
        ),
        classes=5,
    ).eval()
    model.load_state_dict(from_torchvision(peer.state_dict()), strict=False)
    # torchvision normalises first and resizes without antialiasing: take its pixels, back on the 0..255 scale.
    image, _ = script.read(shared / "fixtures" / "images" / "a.jpg")
    inputs, _ = peer.transform([image])
    pixels = inputs.tensors * model.pixel_std + model.pixel_mean
    ours = model(Batch(pixels, inputs.image_sizes, [tuple(image.shape[-2:])], [0]))[0]
    theirs = np.load(folder / "r18_fpn.npz")
    assert np.array_equal(ours.labels.numpy() + 1, theirs["det_labels"])
    np.testing.assert_allclose(ours.scores.numpy(), theirs["det_scores"], atol=5e-5)
    np.testing.assert_allclose(ours.boxes.numpy(), theirs["det_boxes"], atol=0.02)


def test_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="roi_heads.mask_head.0.weight: not a key of torchvision's Faster R-CNN"):
        from_torchvision({"roi_heads.mask_head.0.weight": torch.zeros(1)})
