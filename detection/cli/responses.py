"""`frcnn responses`: how strongly the layers of trained nets respond."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from detection.cli.experiment import look_at

if TYPE_CHECKING:
    from detection.cli.experiment import Experiment

DESCRIPTION = """Standard deviation of every 3x3 layer's output after batch norm and before the non-linearity, in layer
order and sorted (figure 7 of the ResNet paper)."""


def main(arguments: list[str]) -> int:
    return look_at("responses", DESCRIPTION, arguments, _experiment)


def _experiment(args: argparse.Namespace) -> Experiment:
    from detection.experiments.responses import responses

    return responses
