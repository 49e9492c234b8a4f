"""The same weights and images on the CPU and on the device: detections, losses and gradients, in float32."""

from __future__ import annotations

import copy

import torch
from benchmarks.peers import as_torchvision, batch_of, pictures

from detection.config.schema import ModelConfig, RoIConfig
from detection.engine.hardware import use_tf32
from detection.geometry.boxes import iou
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.predict.prepare import prepare
from detection.records import Batch, Detections
from gpu.findings import Check, Found, at_most

PROPOSALS = 200
"""Of an image: few, so that the CPU's side takes seconds."""


def nets(quick: bool) -> dict[str, ModelConfig]:
    """By name, the architectures that are compared."""
    if quick:
        small = {"weights": None, "norm": "frozen", "width": 8, "fpn_channels": 16}
        return {"fpn": ModelConfig("fpn", "resnet18", roi=RoIConfig(hidden=32), **small)}  # type: ignore[arg-type]
    return {
        "fpn": ModelConfig("fpn", "resnet50", None, "frozen"),
        "c4": ModelConfig("c4", "resnet50", None, "frozen"),
        "vgg16": ModelConfig("vgg16", "vgg16", None, roi=RoIConfig(dropout=0.0)),
        "as torchvision": as_torchvision(),
    }


def detector(config: ModelConfig, classes: int = 20) -> FasterRCNN:
    """A detector with random weights of a scale at which signals live and detections differ in score."""
    torch.manual_seed(0)
    model = build_model(config, classes)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(("bn2.weight", "bn3.weight")):
                value.fill_(0.3)
        model.rpn.head.objectness.weight.normal_(std=0.02)
        model.rpn.head.deltas.weight.normal_(std=0.003)
        model.roi_stage.predictor.scores.weight.normal_(std=0.3)
    return model.to(memory_format=torch.channels_last)


def compare(device: torch.device, quick: bool) -> Found:
    """Losses within 1e-4, gradients within 1e-3 of their norm, detections within half a pixel and 1e-3 of score."""
    use_tf32(False)
    side = 96 if quick else 480
    batch = batch_of(pictures(None, 2, side, 2 * side), boxes=8, classes=20)
    # Every anchor and region is sampled, since devices draw different random numbers.
    checks: list[Check] = []
    numbers = {}
    for name, config in nets(quick).items():
        config.rpn.batch_per_image, config.roi.batch_per_image = 10**6, PROPOSALS + 100
        config.rpn.positive_fraction = config.roi.positive_fraction = 1.0
        config.rpn.train_after_nms = config.rpn.test_after_nms = PROPOSALS
        model = detector(config)
        mirror = copy.deepcopy(model).to(device)
        found = {
            "loss": _loss_error(model, mirror, batch, device),
            "gradient": _gradient_error(model, mirror),
            "missed": _missed(model, mirror, batch, device),
        }
        checks += [
            at_most(f"{name}: losses as on the CPU, relative", found["loss"], 1e-4),
            at_most(f"{name}: gradients as on the CPU, relative to their norm", found["gradient"], 1e-3),
            at_most(f"{name}: share of the CPU's detections not found", found["missed"], 0.02),
        ]
        numbers[name] = found
    return Found(checks, numbers)


def _loss_error(model: FasterRCNN, mirror: FasterRCNN, batch: Batch, device: torch.device) -> float:
    """Largest relative difference of a loss; both models then have gradients."""
    values = []
    for net, own in ((model.train(), batch), (mirror.train(), batch.to(device))):
        losses = net(own)
        torch.stack(list(losses.values())).sum().backward()
        values.append(torch.stack([loss.detach().cpu() for loss in losses.values()]))
    return float(((values[0] - values[1]).abs() / values[0].abs().clamp(min=1e-6)).max())


def _gradient_error(model: FasterRCNN, mirror: FasterRCNN) -> float:
    worst = 0.0
    for own, other in zip(model.parameters(), mirror.parameters()):
        if own.grad is not None and other.grad is not None:
            difference = (own.grad - other.grad.cpu()).norm() / own.grad.norm().clamp(min=1e-6)
            worst = max(worst, float(difference))
    return worst


@torch.inference_mode()
def _missed(model: FasterRCNN, mirror: FasterRCNN, batch: Batch, device: torch.device) -> float:
    """Share of the CPU's detections without one of the prepared network on the device, of the same class, score and
    place. Suppression decides between near ties, so that rounding moves a few."""
    expected, found = prepare(model)(batch), prepare(mirror)(batch.to(device))
    pairs = [_pairs(a, b.to("cpu")) for a, b in zip(expected, found)]
    return 1 - sum(matched for matched, _ in pairs) / max(sum(count for _, count in pairs), 1)


def _pairs(expected: Detections, found: Detections) -> tuple[int, int]:
    same = expected.labels[:, None] == found.labels
    close = (expected.scores[:, None] - found.scores).abs() < 1e-3
    near = (expected.boxes[:, None] - found.boxes).abs().amax(2) < 0.5
    overlaps = iou(expected.boxes, found.boxes) > 0.9
    matched = (same & close & (near | overlaps)).any(1) if len(found.boxes) else torch.zeros(len(expected.boxes))
    return int(matched.sum()), len(expected.boxes)
