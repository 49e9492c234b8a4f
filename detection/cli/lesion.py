"""`frcnn lesion`: test error without single blocks of trained nets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detection.cli.experiment import look_at

if TYPE_CHECKING:
    from detection.cli.experiment import Experiment

DESCRIPTION = """Test error of trained nets when single blocks are removed: of a residual block the shortcut stays, a
plain block is skipped (Veit et al. 2016)."""


def main(arguments: list[str]) -> int:
    return look_at("lesion", DESCRIPTION, arguments, _experiment)


def _experiment() -> Experiment:
    from detection.experiments.lesion import lesion

    return lesion
