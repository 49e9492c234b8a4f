"""A file as torchvision's users save it, small."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead


def write_coco_detector(path: Path) -> None:
    """A ResNet-18-FPN of COCO's 91 outputs with a narrow head and random weights."""
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    model = FasterRCNN(backbone, box_head=TwoMLPHead(256 * 49, 32), box_predictor=FastRCNNPredictor(32, 91))
    torch.save(model.state_dict(), path)
