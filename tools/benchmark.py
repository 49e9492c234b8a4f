"""Speed against peers: all sides in one process, turn by turn, medians of several rounds.

    python tools/benchmark.py inference --data IMAGES          an image through the detector, every backend
    python tools/benchmark.py onnx --data IMAGES               the same on ONNX Runtime, torchvision's export beside
    python tools/benchmark.py training --data IMAGES           a training step, and its peak memory
    python tools/benchmark.py postprocessing                   scores and deltas to detections
    python tools/benchmark.py evaluation                       COCO's numbers of 5,000 images, 100 detections each
    python tools/benchmark.py index                            the annotations of 118,000 images: time and memory
    python tools/benchmark.py input --data IMAGES              JPEG files to tensors
    python tools/benchmark.py growth                           time and memory as batch, size, boxes and classes grow
    python tools/benchmark.py limits                           what the machine could do, stage by stage
    python tools/benchmark.py classifier --data CIFAR10        training of classifiers, and their input
    python tools/benchmark.py report --data RUN                what a report adds to an evaluation, and its page
    python tools/benchmark.py serve --data RUN                 what a service costs beside the model in a loop
    python tools/benchmark.py rematerialise                    memory of a net of 1,202 layers

Peers are torchvision, and mayaku where it is installed. Each writes benchmark_WORK.json and .md into --results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks import (
    classifier,
    evaluation,
    growth,
    index,
    inference,
    input,
    limits,
    onnx_files,
    postprocessing,
    service,
    training,
)
from benchmarks import report as reporting

from detection.cli.arguments import Parser, at_least
from detection.errors import InputError
from detection.experiments.report import Report
from detection.parallel import choose_device

WORKS: dict[str, Callable[[Any, list[str]], Report]] = {
    "inference": lambda a, words: inference.measure(a.data, a.device, a.rounds, words),
    "onnx": lambda a, words: onnx_files.measure(a.data, a.rounds, words),
    "training": lambda a, words: training.measure(a.data, a.device, a.rounds, words),
    "postprocessing": lambda a, words: postprocessing.measure(a.device, a.rounds, words),
    "evaluation": lambda a, words: evaluation.measure(a.images or 5000, 100, a.rounds, words),
    "index": lambda a, words: index.measure(a.images or 118_000, (a.images or 118_000) * 860 // 118, a.rounds, words),
    "input": lambda a, words: input.measure(a.data, a.rounds, words),
    "growth": lambda a, words: growth.measure(a.device, words),
    "limits": lambda a, words: limits.measure(a.data, a.rounds, words),
    "classifier": lambda a, words: classifier.classifier(
        a.data, a.net or "cifar_resnet20", a.rounds, a.steps, a.workers, words
    ),
    "report": lambda a, words: reporting.measure(a.data, a.images or 5000, a.device, a.rounds, words),
    "serve": lambda a, words: service.measure(a.data, a.images or 20_000, a.rounds, words),
    "rematerialise": lambda a, words: classifier.rematerialise(a.net or "cifar_resnet1202", a.batch, words),
}


def main(arguments: list[str]) -> int:
    parser = Parser("benchmark.py", "Speed against peers, side by side.")
    parser.add_argument("work", choices=list(WORKS))
    parser.add_argument(
        "--data",
        help="pictures; classifier: images of classes of 32 pixels; report and serve: the folder of a run",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--net", help="default cifar_resnet20, for rematerialise cifar_resnet1202")
    parser.add_argument("--batch", type=at_least(2), default=32, help="images (rematerialise)")
    parser.add_argument(
        "--images", type=at_least(5), help="default 5,000 for evaluation and report, 118,000 for index; 20,000 requests"
    )
    parser.add_argument("--rounds", type=at_least(3), default=7)
    parser.add_argument("--steps", type=at_least(1), default=10)
    parser.add_argument("--workers", type=at_least(0), default=2, help="loading processes of the peer (classifier)")
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args(arguments)
    args.device = choose_device(args.device).type
    torch.manual_seed(0)
    report = WORKS[args.work](args, ["python", "tools/benchmark.py", *arguments])
    report.write(args.results)
    print(report.text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"benchmark.py: error: {error}", file=sys.stderr)
        sys.exit(2)
