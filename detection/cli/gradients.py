"""`frcnn gradients`: gradient norms by layer and stage."""

from __future__ import annotations

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import add_results, command, finish, named
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config

DESCRIPTION = """Norms of the gradients of nets: by name (cifar_plain56) from random weights and along a training of
--train.iterations, as best.pt or NET=FILE of trained ones. All settings of `frcnn pretrain` may follow."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn gradients", DESCRIPTION)
    parser.add_argument("--nets", nargs="+", default=[], help="nets to train, such as cifar_plain56 cifar_resnet56")
    parser.add_argument("--trained", nargs="+", default=[], help="best.pt of runs, or NET=FILE")
    parser.add_argument("--images", type=at_least(2), default=256, help="training images to measure on")
    parser.add_argument("--relative", action="store_true", help="divide by the norms of the same weights")
    add_results(parser)
    args, settings = parser.parse_known_args(arguments)
    if not args.nets and not args.trained:
        parser.error("give --nets or --trained")
    config = read_config(settings, PretrainConfig)

    from detection import parallel
    from detection.experiments.gradients import gradients
    from detection.loading.class_images import load_class_splits
    from detection.loading.classifiers import load_classifier

    device = parallel.choose_device(config.device)
    trained = named(args.trained, [load_classifier(source, device) for source in args.trained])
    splits, words = load_class_splits(config), command("gradients", arguments)
    report = gradients(config, args.nets, trained, splits, args.images, args.relative, device, words)
    return finish(report, args.results)
