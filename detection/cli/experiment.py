"""What the commands of the paper's experiments share: their arguments, and saying what they wrote."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from detection.cli.arguments import Parser, at_least

if TYPE_CHECKING:
    from detection.classify.images import ImageSet
    from detection.classify.views import View
    from detection.experiments.report import Report
    from detection.loading.classifiers import Classifier

    Experiment = Callable[[dict[str, Classifier], ImageSet, View, int, int, list[str]], Report]


def add_results(parser: Parser) -> None:
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder for JSON, Markdown and PNG")


def look_at(
    name: str,
    description: str,
    arguments: list[str],
    experiment: Callable[[argparse.Namespace], Experiment],
    add_options: Callable[[Parser], None] = lambda parser: None,
) -> int:
    """The command `name`, whose experiment, imported late, takes classifiers, images, a view, a batch, workers and the
    words. add_options: those that this command alone has."""
    parser = Parser(f"frcnn {name}", description)
    parser.add_argument("classifiers", nargs="+", help="best.pt of runs, or NET=FILE, as cifar_resnet20=weights.pt")
    parser.add_argument("--data", help="images of classes; default those of the first checkpoint")
    parser.add_argument("--split", help="split of it; default test where there is one, else val")
    parser.add_argument("--images", type=at_least(1), help="look at this many images, spread over the split")
    parser.add_argument("--batch", type=at_least(1), default=200, help="images at once")
    parser.add_argument("--workers", type=at_least(0), default=2, help="processes that decode and resize images")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_results(parser)
    add_options(parser)
    args = parser.parse_args(arguments)

    from detection import parallel
    from detection.loading.class_testing import images_for, view_for
    from detection.loading.classifiers import load_classifier

    device = parallel.choose_device(args.device)
    classifiers = [load_classifier(source, device) for source in args.classifiers]
    images, view = images_for(classifiers, args.data, args.split, args.images), view_for(classifiers[0])
    nets, words = named(args.classifiers, classifiers), command(name, arguments)
    return finish(experiment(args)(nets, images, view, args.batch, args.workers, words), args.results)


def named(sources: list[str], classifiers: list[Classifier]) -> dict[str, Classifier]:
    """The net's name for each classifier, or what it was given as where two have the same."""
    names = [classifier.name for classifier in classifiers]
    return {n if names.count(n) == 1 else s: c for n, s, c in zip(names, sources, classifiers)}


def finish(report: Report, folder: Path) -> int:
    """Write the report, print its table and its files."""
    files = report.write(folder)
    print(f"\n{report.text.strip()}\n")
    for path, meaning in files.items():
        print(f"{path}  {meaning}")
    return 0


def command(name: str, arguments: list[str]) -> list[str]:
    """The words that repeat this call."""
    return ["frcnn", name, *arguments]
