"""`frcnn classify`: top-1 and top-5 error of one classifier or an ensemble, tested as in the paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from detection.cli.arguments import Parser, at_least, refuse_unused
from detection.counted import counted

if TYPE_CHECKING:
    from detection.loading.classifiers import Classifier

DESCRIPTION = """Error of classifiers on one split: each alone and, for several, of their averaged probabilities. A
checkpoint of `frcnn pretrain` brings its data and its view; NET=FILE, such as cifar_resnet20=weights.pt, names plain
weights."""

UNUSED = {
    "whole": "size crop scales",
    "1-crop": "scales",
    "10-crop": "scales",
    "multi-scale": "size crop",
}
"""Options that a view has no use for."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)

    import torch

    from detection import parallel
    from detection.classify.views import errors_of
    from detection.files.atomic import write_atomically
    from detection.files.outputs import refuse_overwriting
    from detection.loading.class_testing import images_for, scores_of, view_for
    from detection.loading.classifiers import load_classifier

    if args.output:
        refuse_overwriting([args.output], [Path(source.split("=", 1)[-1]) for source in args.classifiers])
    device = parallel.choose_device(args.device)
    classifiers = [load_classifier(source, device) for source in args.classifiers]
    images = images_for(classifiers, args.data, args.split)
    view = view_for(classifiers[0], args.view, args.size, args.crop, args.scales)
    refuse_unused(parser, args, UNUSED[view.name], f"on the view {view.name}")
    scores = {
        source: scores_of(classifier, images, view, args.batch, args.workers)
        for source, classifier in zip(args.classifiers, classifiers)
    }
    if len(scores) > 1:
        scores["ensemble"] = torch.stack(list(scores.values())).mean(0)
    rows = []
    for name, found in scores.items():
        errors = errors_of(found, images.labels)
        rows.append({"classifier": name, "view": view.name, **errors})
        parts = [f"{key.replace('_', ' ')} {100 * v:.2f} %" for key, v in errors.items() if key != "loss"]
        print(
            f"{name}: {', '.join(parts)}, loss {errors['loss']:.4f} ({counted(len(images), 'image')}, {view.name})",
            flush=True,
        )
    for line in _published(classifiers, view.name, len(images.class_names)):
        print(line)
    if args.output:
        write_atomically(args.output, json.dumps(rows, indent=1).encode())
    return 0


def _published(classifiers: list[Classifier], view: str, classes: int) -> list[str]:
    """What the paper has of the same nets in the same view."""
    from detection.experiments.published import ENSEMBLE, published_error

    lines = {}
    for each in classifiers:
        error = published_error(each.name, each.shortcut, view, classes)
        if error is not None:
            more = "" if error.top5 is None else f", top5 error {error.top5:.2f} %"
            lines[each.name] = f"the paper's {each.name} ({view}): top1 error {error.top1:.2f} %{more}"
    if len(classifiers) > 1 and len(lines) and view == "multi-scale":
        lines["ensemble"] = f"the paper's ensemble: {ENSEMBLE}"
    return list(lines.values())


def _parser() -> Parser:
    parser = Parser("frcnn classify", DESCRIPTION)
    parser.add_argument("classifiers", nargs="+", help="best.pt of runs, or NET=FILE")
    parser.add_argument("--data", help="images of classes; default those of the first checkpoint")
    parser.add_argument("--split", help="split of it; default test where there is one, else val")
    parser.add_argument("--view", choices=["whole", "1-crop", "10-crop", "multi-scale"], help="default as in training")
    parser.add_argument("--size", type=at_least(8), help="shorter side that crops are taken from, pixels")
    parser.add_argument("--crop", type=at_least(8), help="side of the crops, pixels")
    parser.add_argument("--scales", type=at_least(8), nargs="+", help="shorter sides of multi-scale testing, pixels")
    parser.add_argument("--batch", type=at_least(1), default=100, help="images at once")
    parser.add_argument("--workers", type=at_least(0), default=2, help="processes that decode and resize images")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    return parser
