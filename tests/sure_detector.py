"""A detector whose scores tell regions apart without any training, and pictures in which it finds something."""

import numpy as np
import torch

from detection.config.schema import ModelConfig
from detection.model.build import build_model
from detection.predict.detector import Detector

SIZES = [(70, 96), (96, 70), (64, 64), (33, 200), (150, 31), (480, 640), (7, 5)]


def picture(size, seed=0):
    """Something to find: blocks on noise."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 60, (*size, 3), dtype=np.uint8)
    for _ in range(6):
        y, x = (int(random.integers(0, side)) for side in size)
        image[y : y + size[0] // 3 + 1, x : x + size[1] // 3 + 1] = random.integers(0, 256, 3, dtype=np.uint8)
    return image


KINDS = {
    "fpn": {"architecture": "fpn", "anchors.sizes": [[8], [16], [32], [64], [128]]},
    "fpn, shared boxes": {"architecture": "fpn", "anchors.sizes": [[8], [16], [32], [64], [128]], "agnostic": True},
    "c4, pooled, context": {"architecture": "c4", "anchors.sizes": [[16, 32, 64]], "pool": "pool", "context": True},
    "dc5, legacy": {"architecture": "dc5", "anchors.sizes": [[16, 32]], "pool": "align_legacy"},
}


def sure_detector(kind):
    """A network whose scores tell regions apart."""
    wanted = KINDS[kind]
    model = ModelConfig(wanted["architecture"], "resnet18", None, "frozen", width=8)
    model.anchors.sizes, model.roi.pool = wanted["anchors.sizes"], wanted.get("pool", "align")
    model.roi.context, model.roi.class_agnostic = wanted.get("context", False), wanted.get("agnostic", False)
    model.rpn.test_after_nms, model.rpn.test_before_nms, model.roi.hidden = 40, 100, 32
    torch.manual_seed(0)
    net = build_model(model, 3).eval()
    with torch.no_grad():
        net.rpn.head.objectness.weight.mul_(30)
        net.roi_stage.predictor.scores.weight.mul_(100)
        net.roi_stage.predictor.scores.bias[-1] = -4.0
        net.roi_stage.predictor.deltas.weight.mul_(100)
    return Detector(net, ("a", "b", "c"), 64, 100, torch.device("cpu"))
