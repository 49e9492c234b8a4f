"""`frcnn lesion`: test error of trained nets without blocks, or with blocks in another order."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import look_at

if TYPE_CHECKING:
    from detection.cli.experiment import Experiment

DESCRIPTION = """Test error of trained nets when single blocks are removed: of a residual block the shortcut stays, a
plain block is skipped; with --removed and --swapped also when several are removed or change places at random (Veit et
al. 2016)."""


def main(arguments: list[str]) -> int:
    return look_at("lesion", DESCRIPTION, arguments, _experiment, _add_options)


def _add_options(parser: Parser) -> None:
    numbers: dict[str, Any] = {"type": at_least(1), "nargs": "+", "default": [], "metavar": "N"}
    parser.add_argument("--removed", help="also with N blocks removed at random, for each N", **numbers)
    parser.add_argument("--swapped", help="also after N swaps of two blocks of a stage, for each N", **numbers)
    parser.add_argument("--draws", type=at_least(1), default=10, help="random draws for each N")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the draws")


def _experiment(args: argparse.Namespace) -> Experiment:
    from detection.experiments.lesion import lesion
    from detection.experiments.random_lesions import Draws

    return partial(lesion, draws=Draws(args.removed, args.swapped, args.draws, args.seed))
