"""The same detector by several hands: one set of weights, one picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from detection.config.schema import AnchorConfig, ModelConfig, RoIConfig, RPNConfig
from detection.data.image import read_image, resize_image, resize_size
from detection.interop.torchvision import from_torchvision
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.collect import collect_images
from detection.records import Batch, Target

CLASSES = 80


def torchvision_detector(classes: int = CLASSES) -> TorchvisionRCNN:
    """R50-FPN with frozen norms and two frozen stages, its random weights scaled so that signals neither die nor blow
    up, and its predictions spread so that there are detections."""
    torch.manual_seed(0)
    body = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    peer = TorchvisionRCNN(body, num_classes=classes + 1, _skip_resize=True)
    with torch.no_grad():
        for key, value in peer.state_dict().items():
            if key.endswith(("bn2.weight", "bn3.weight")):
                value.fill_(0.3)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
        peer.rpn.head.cls_logits.weight.normal_(std=0.02)
        peer.rpn.head.bbox_pred.weight.normal_(std=0.003)
        peer.roi_heads.box_predictor.cls_score.weight.normal_(std=1.0)
    return peer


def as_torchvision(classes: int = CLASSES) -> ModelConfig:
    """Settings under which this toolkit computes what torchvision computes."""
    return ModelConfig(
        norm="frozen",
        freeze=2,
        weights=None,
        anchors=AnchorConfig(rounded=True),
        rpn=RPNConfig(min_side=1e-3, beta=1 / 9, train_after_nms=2000),
        roi=RoIConfig(pool="align_legacy", sampling_ratio=2, beta=1 / 9),
    )


def same_in_toolkit(peer: TorchvisionRCNN, config: ModelConfig | None = None) -> FasterRCNN:
    """This toolkit's detector with the peer's weights."""
    classes = peer.roi_heads.box_predictor.cls_score.out_features - 1
    model = build_model(config or as_torchvision(), classes)
    left = model.load_state_dict(from_torchvision(peer.state_dict()), strict=False)
    assert not left.unexpected_keys and set(left.missing_keys) == {"pixel_mean", "pixel_std"}, left
    return model.to(memory_format=torch.channels_last)


def mayaku_detector(model: FasterRCNN) -> nn.Module | None:
    """mayaku's R50-FPN with the weights of ours and its own other defaults; None where it is not installed."""
    try:
        from mayaku.config.schemas import MayakuConfig
        from mayaku.models.detectors.faster_rcnn import build_faster_rcnn
    except ImportError:
        return None
    peer = build_faster_rcnn(MayakuConfig())
    own = {_mayaku_key(k): v for k, v in model.state_dict().items() if not k.startswith("pixel_")}
    wanted = peer.state_dict()
    peer.load_state_dict({k: own[k].reshape(v.shape) for k, v in wanted.items() if k in own}, strict=False)
    assert not {k for k in wanted.keys() - own.keys() if "num_batches" not in k and "pixel" not in k}
    return peer.eval()


def _mayaku_key(key: str) -> str:
    renamed = (
        (r"^backbone\.conv1\.", "backbone.bottom_up.stem.0."),
        (r"^backbone\.bn1\.", "backbone.bottom_up.stem.1."),
        (r"^backbone\.layer(\d)\.", lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}."),
        (r"^neck\.lateral\.", "backbone.lateral_convs."),
        (r"^neck\.output\.", "backbone.output_convs."),
        (r"^rpn\.head\.objectness\.", "rpn.head.objectness_logits."),
        (r"^rpn\.head\.deltas\.", "rpn.head.anchor_deltas."),
        (r"^roi_stage\.head\.fc6\.", "roi_heads.box_head.fcs.0."),
        (r"^roi_stage\.head\.fc7\.", "roi_heads.box_head.fcs.1."),
        (r"^roi_stage\.predictor\.scores\.", "roi_heads.box_predictor.cls_score."),
        (r"^roi_stage\.predictor\.deltas\.", "roi_heads.box_predictor.bbox_pred."),
    )
    for old, new in renamed:
        key = re.sub(old, new, key)
    return key


def pictures(data: str | None, count: int, short_side: int, long_side: int) -> list[Tensor]:
    """(3, H, W) uint8 pictures of one size: those of `data`, made alike, or noise."""
    if data is None:
        size = resize_size((480, 640), short_side, long_side)
        random = np.random.default_rng(0)
        arrays = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
    else:
        arrays = [read_image(path) for path in collect_images([str(Path(data))]).images[:count]]
        size = resize_size((arrays[0].shape[0], arrays[0].shape[1]), short_side, long_side)
        arrays = [resize_image(array, size) for array in arrays]
    return [torch.from_numpy(np.ascontiguousarray(a.transpose(2, 0, 1))) for a in arrays]


def batch_of(images: list[Tensor], boxes: int | None = None, classes: int = CLASSES) -> Batch:
    """The pictures as a batch; with `boxes` each has that many random objects."""
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    targets = None
    if boxes is not None:
        random = torch.Generator().manual_seed(0)
        targets = [_objects(size, boxes, classes, random) for size in sizes]
    return Batch(torch.stack(images), sizes, sizes, list(range(len(images))), targets)


def _objects(size: tuple[int, int], count: int, classes: int, random: torch.Generator) -> Target:
    limit = torch.tensor([size[1], size[0]], dtype=torch.float32)
    sides = torch.rand(count, 2, generator=random) * 100 + 16
    corner = torch.rand(count, 2, generator=random) * (limit - sides).clamp(min=1)
    labels = torch.randint(0, classes, (count,), generator=random)
    return Target(torch.cat([corner, torch.minimum(corner + sides, limit)], 1), labels, torch.zeros(0, 4))


def torchvision_step(peer: TorchvisionRCNN, batch: Batch, rate: float = 1e-4) -> Callable[[], Any]:
    """A training step of torchvision's detector on the same batch."""
    assert batch.targets is not None
    images = [image.float() / 255 for image in batch.images]
    targets = [{"boxes": t.boxes, "labels": t.labels + 1} for t in batch.targets]
    optimizer = torch.optim.SGD([p for p in peer.parameters() if p.requires_grad], rate, momentum=0.9)
    peer.train()

    def step() -> None:
        optimizer.zero_grad()
        sum(peer(images, targets).values()).backward()
        optimizer.step()

    return step
