"""From scores and deltas of 1,000 proposals to detections, against torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import Table, alternate
from benchmarks.peers import same_in_toolkit, torchvision_detector
from detection.experiments.report import Report

PROPOSALS, SIZE = 1000, (800, 1088)
SCENES = {
    "80 classes, a fifth of the proposals likely": (80, 0.2, 6.0),
    "80 classes, all of the proposals likely": (80, 1.0, 4.0),
    "1,000 classes, a fifth of the proposals likely": (1000, 0.2, 6.0),
}
"""classes, share of the proposals with a likely class, logit of the background"""


def predictions(classes: int, likely: float, background: float) -> tuple[Tensor, Tensor, Tensor]:
    """(P, 4) proposals, (P, K + 1) logits and (P, 4 (K + 1)) deltas, background first as torchvision has it."""
    random = torch.Generator().manual_seed(0)
    sides = torch.rand(PROPOSALS, 2, generator=random) * 200 + 16
    corner = torch.rand(PROPOSALS, 2, generator=random) * (torch.tensor([SIZE[1], SIZE[0]]) - sides)
    logits = torch.randn(PROPOSALS, classes + 1, generator=random)
    logits[:, 0] += background
    some = torch.randperm(PROPOSALS, generator=random)[: int(likely * PROPOSALS)]
    logits[some, torch.randint(1, classes + 1, (len(some),), generator=random)] += background + 2
    deltas = torch.randn(PROPOSALS, 4 * (classes + 1), generator=random) * 0.5
    return torch.cat([corner, corner + sides], 1), logits, deltas


def sides_of(scene: tuple[int, float, float], device: str) -> dict[str, Callable[[], Any]]:
    """Both ways from the same predictions to (boxes, scores)."""
    peer = torchvision_detector(scene[0]).eval()
    stage, heads = same_in_toolkit(peer).eval().roi_stage, peer.roi_heads
    boxes, logits, deltas = (tensor.to(device) for tensor in predictions(*scene))
    own_logits = torch.cat([logits[:, 1:], logits[:, :1]], 1)
    own_deltas = deltas[:, 4:].unflatten(1, (-1, 4)).contiguous()

    def theirs() -> tuple[Tensor, Tensor]:
        found, scores, _ = heads.postprocess_detections(logits, deltas, [boxes], [SIZE])
        return found[0], scores[0]

    def ours() -> tuple[Tensor, Tensor]:
        found = stage.select(own_logits, own_deltas, [boxes], [SIZE], [SIZE])[0]
        return found.boxes, found.scores

    return {"torchvision": theirs, "toolkit": ours}


@torch.inference_mode()
def measure(device: str, rounds: int, command: list[str]) -> Report:
    table = Table("torchvision")
    for name, scene in SCENES.items():
        sides = sides_of(scene, device)
        (boxes, scores), (own_boxes, own_scores) = (side() for side in sides.values())
        torch.testing.assert_close(own_scores, scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(own_boxes, boxes, atol=1e-2, rtol=0)
        table.add(name, alternate(sides, 5 * rounds))
    text = f"""{PROPOSALS} proposals of one image: scores, boxes, threshold .05, suppression by class, the best 100; the
same detections by both.

{table.text()}"""
    return Report("benchmark_postprocessing", "Speed of post-processing", command, table.numbers, text, {})
