"""`frcnn identity`: what identity shortcuts promise, in numbers."""

from __future__ import annotations

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import add_results, command, finish, named

DESCRIPTION = """In each stage of a net: how far its last map is from an early one plus what the blocks between add, and
its gradient from the direct one plus the one through these blocks (He et al. 2016, equations 4 and 5): equal in
pre-activation nets (cifar_preact_resnet56), not in those of 2015. By name from random weights, as best.pt or NET=FILE
trained."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn identity", DESCRIPTION)
    parser.add_argument("--nets", nargs="+", default=[], help="nets from random weights, such as cifar_preact_resnet56")
    parser.add_argument("--trained", nargs="+", default=[], help="best.pt of runs, or NET=FILE")
    parser.add_argument("--data", help="images of classes; default those of the first checkpoint")
    parser.add_argument("--split", default="train", help="split of it")
    parser.add_argument("--images", type=at_least(2), default=64, help="so many of it, in one batch")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the random weights")
    add_results(parser)
    args = parser.parse_args(arguments)
    if not args.nets and not args.trained:
        parser.error("give --nets or --trained")

    import torch

    from detection.experiments.identity import identity
    from detection.loading.class_testing import images_for, view_for
    from detection.loading.classifiers import load_classifier, random_classifier

    trained = [load_classifier(source, torch.device("cpu")) for source in args.trained]
    images = images_for(trained, args.data, args.split, args.images)
    random = [random_classifier(name, images.class_names, args.seed) for name in args.nets]
    nets = {f"{name}, trained": each.net for name, each in named(args.trained, trained).items()}
    nets = {f"{name}, random": each.net for name, each in zip(args.nets, random)} | nets
    view = view_for([*trained, *random][0])
    return finish(identity(nets, images, view, command("identity", arguments)), args.results)
