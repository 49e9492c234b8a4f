"""`frcnn identity`: what identity shortcuts promise, in numbers."""

from __future__ import annotations

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import add_results, command, finish, named
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config

DESCRIPTION = """In each stage of a net: how far its last map is from an early one plus what the blocks between add, and
its gradient from the direct one plus the one through these blocks (He et al. 2016, equations 4 and 5): equal in
pre-activation nets (cifar_preact_resnet56), not in those of 2015. By name from random weights, as best.pt or NET=FILE
trained. Settings of `frcnn pretrain` may follow."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn identity", DESCRIPTION)
    parser.add_argument("--nets", nargs="+", default=[], help="nets from random weights, such as cifar_preact_resnet56")
    parser.add_argument("--trained", nargs="+", default=[], help="best.pt of runs, or NET=FILE")
    parser.add_argument("--images", type=at_least(2), default=64, help="training images to measure on")
    add_results(parser)
    args, settings = parser.parse_known_args(arguments)
    if not args.nets and not args.trained:
        parser.error("give --nets or --trained")
    config = read_config(settings, PretrainConfig)

    import torch

    from detection.experiments.identity import identity
    from detection.loading.class_images import load_class_splits
    from detection.loading.classifiers import load_classifier

    trained = named(args.trained, [load_classifier(source, torch.device("cpu")) for source in args.trained])
    splits, words = load_class_splits(config), command("identity", arguments)
    return finish(identity(config, args.nets, trained, splits, args.images, words), args.results)
