"""The configs of the papers' detectors say what the papers and their authors' code do."""

import pytest

from detection.config.read import read_config
from detection.config.schema import Config
from detection.config.shipped import FOLDER

CONFIGS = sorted(file for file in (FOLDER / "paper").glob("*.yaml") if not file.name.startswith("mini"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_recipes_are_the_papers(file):
    config = read_config(["--config", str(file), "--data=x"], Config)
    model, train = config.model, config.train
    assert model.stride_in_1x1 == (model.backbone == "resnet101")
    assert model.ceil_pool == (model.backbone == "vgg16")  # ResNets begin with torchvision's weights
    assert (model.anchors.offset, model.anchors.classic, model.anchors.ratios) == (0.5, True, [0.5, 1.0, 2.0])
    assert model.anchors.sizes == [[64.0, 128.0, 256.0, 512.0][file.stem.startswith("voc") :]]
    assert (model.rpn.inside, model.rpn.positive_iou, model.rpn.negative_iou) == (True, 0.7, 0.3)
    assert (model.rpn.nms, model.rpn.train_after_nms or 2000, model.rpn.test_after_nms) == (0.7, 2000, 300)
    assert (model.roi.background_iou, model.roi.positive_iou, model.roi.batch_per_image) == (0.1, 0.5, 128)
    assert (train.mode, train.lr, train.momentum) == ("alternating", 0.001, 0.9)
    assert (train.weight_decay, train.bias_decay, train.bias_lr) == (5e-4, 0.0, 2.0)
    assert train.evaluate_every == train.iterations  # the last weights: nothing is chosen on what is reported
