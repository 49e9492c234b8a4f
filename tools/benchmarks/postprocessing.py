"""From scores and deltas of 1,000 proposals and 80 classes to detections, against torchvision's."""

from __future__ import annotations

import torch

from benchmarks.measuring import Table, alternate
from benchmarks.peers import same_in_toolkit, torchvision_detector
from detection.experiments.report import Report

PROPOSALS, SIZE = 1000, (800, 1088)


def measure(device: str, rounds: int, command: list[str]) -> Report:
    table = Table("torchvision")
    for classes in (80, 1000):
        peer = torchvision_detector(classes).eval().to(device)
        model = same_in_toolkit(peer).eval().to(device)
        heads, stage = peer.roi_heads, model.roi_stage
        random = torch.Generator().manual_seed(0)
        sides = torch.rand(PROPOSALS, 2, generator=random) * 200 + 16
        corner = torch.rand(PROPOSALS, 2, generator=random) * (torch.tensor([SIZE[1], SIZE[0]]) - sides)
        boxes = torch.cat([corner, corner + sides], 1).to(device)
        # Classes compete as in a trained detector: most regions are background, a fifth has one or two likely classes.
        logits = torch.randn(PROPOSALS, classes + 1, generator=random)
        logits[:, 0] += 6
        some = torch.randperm(PROPOSALS, generator=random)[: PROPOSALS // 5]
        logits[some, torch.randint(1, classes + 1, (len(some),), generator=random)] += 8
        deltas = torch.randn(PROPOSALS, 4 * (classes + 1), generator=random) * 0.5
        logits, deltas = logits.to(device), deltas.to(device)
        # Ours has the background last and without deltas.
        own = torch.cat([logits[:, 1:], logits[:, :1]], 1), deltas[:, 4:].unflatten(1, (-1, 4)).contiguous()

        def theirs() -> dict[str, torch.Tensor]:
            found, scores, labels = heads.postprocess_detections(logits, deltas, [boxes], [SIZE])
            return {"boxes": found[0], "scores": scores[0], "labels": labels[0]}

        def ours():  # type: ignore[no-untyped-def]
            return stage.select(*own, [boxes], [SIZE], [SIZE])[0]

        with torch.inference_mode():
            expected, found = theirs(), ours()
            assert len(expected["boxes"]) == len(found.boxes)
            assert torch.allclose(expected["scores"], found.scores, atol=1e-6)
            assert torch.allclose(expected["boxes"], found.boxes, atol=1e-2)
            table.add(f"{classes} classes", alternate({"torchvision": theirs, "toolkit": ours}, rounds))
    text = f"""{PROPOSALS} proposals of one image: scores, boxes, threshold .05, suppression by class, the best 100; the
same detections by both.

{table.text()}"""
    return Report("benchmark_postprocessing", "Speed of post-processing", command, table.numbers, text, {})
