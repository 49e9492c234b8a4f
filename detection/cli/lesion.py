"""`frcnn lesion`: test error without single blocks of trained nets."""

from __future__ import annotations

from detection.cli.arguments import Parser
from detection.cli.experiment import add_testing, command, finish, named

DESCRIPTION = """Test error of trained nets when single blocks are removed: of a residual block the shortcut stays, a
plain block is skipped (Veit et al. 2016)."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn lesion", DESCRIPTION)
    add_testing(parser)
    args = parser.parse_args(arguments)

    from detection import parallel
    from detection.engine.class_testing import images_for, view_for
    from detection.engine.restore import load_classifier
    from detection.experiments.lesion import lesion

    device = parallel.choose_device(args.device)
    classifiers = [load_classifier(source, device) for source in args.classifiers]
    images, view = images_for(classifiers, args.data, args.split, args.images), view_for(classifiers[0])
    words = command("lesion", arguments)
    report = lesion(named(args.classifiers, classifiers), images, view, args.batch, words)
    return finish(report, args.results)
