"""`frcnn paths`: through paths of which length the gradient of trained nets comes."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import look_at

if TYPE_CHECKING:
    from detection.cli.experiment import Experiment

DESCRIPTION = """How many blocks the paths through a trained residual net go through, and how much of the gradient comes
through those of each length (Veit et al. 2016, section 5)."""


def main(arguments: list[str]) -> int:
    return look_at("paths", DESCRIPTION, arguments, _experiment, _add_options)


def _add_options(parser: Parser) -> None:
    parser.add_argument("--draws", type=at_least(1), default=20, help="random paths of each length")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the paths")


def _experiment(args: argparse.Namespace) -> Experiment:
    from detection.experiments.paths import paths

    return partial(paths, draws=args.draws, seed=args.seed)
