"""`frcnn responses`: how strongly the layers of trained nets respond."""

from __future__ import annotations

from detection.cli.arguments import Parser
from detection.cli.experiment import add_testing, command, finish, named

DESCRIPTION = """Standard deviation of every 3x3 layer's output after batch norm and before the non-linearity, in layer
order and sorted (figure 7 of the ResNet paper)."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn responses", DESCRIPTION)
    add_testing(parser)
    args = parser.parse_args(arguments)

    from detection import parallel
    from detection.engine.class_testing import images_for, view_for
    from detection.engine.restore import load_classifier
    from detection.experiments.responses import responses

    device = parallel.choose_device(args.device)
    classifiers = [load_classifier(source, device) for source in args.classifiers]
    images, view = images_for(classifiers, args.data, args.split, args.images), view_for(classifiers[0])
    words = command("responses", arguments)
    report = responses(named(args.classifiers, classifiers), images, view, args.batch, words)
    return finish(report, args.results)
