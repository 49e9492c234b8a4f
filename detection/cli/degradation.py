"""`frcnn degradation`: plain and residual nets of several depths, side by side."""

from __future__ import annotations

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import add_results, command, finish
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config

DESCRIPTION = """Train nets of several depths with one recipe and draw their training and test errors on one figure.
Runs are kept in OUTPUT/NET and resumed; finished ones are not trained again. All settings of `frcnn
pretrain` may follow."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn degradation", DESCRIPTION)
    nets = "such as cifar_plain20 cifar_resnet20, or with an option of the shortcut cifar_resnet20:B"
    parser.add_argument("--nets", nargs="+", required=True, help=nets)
    parser.add_argument("--jobs", type=at_least(1), default=1, help="nets trained at once, on a GPU or many cores")
    add_results(parser)
    args, settings = parser.parse_known_args(arguments)
    config = read_config(settings, PretrainConfig)

    from detection.experiments.degradation import degradation

    return finish(degradation(config, args.nets, command("degradation", arguments), args.jobs), args.results)
