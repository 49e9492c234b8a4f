"""What the commands of the paper's experiments share: their arguments, and saying what they wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detection.cli.arguments import Parser, at_least

if TYPE_CHECKING:
    from detection.engine.restore import Classifier
    from detection.experiments.report import Report


def add_results(parser: Parser) -> None:
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder for JSON, Markdown and PNG")


def add_testing(parser: Parser) -> None:
    """Arguments of an experiment on trained nets."""
    parser.add_argument("classifiers", nargs="+", help="best.pt of runs, or NET=FILE, as cifar_resnet20=weights.pt")
    parser.add_argument("--data", help="images of classes; default those of the first checkpoint")
    parser.add_argument("--split", help="split of it; default test where there is one, else val")
    parser.add_argument("--images", type=at_least(1), help="look at this many images, spread over the split")
    parser.add_argument("--batch", type=at_least(1), default=200, help="images at once")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_results(parser)


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
