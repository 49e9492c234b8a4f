"""What a run may leave out, and how much of it: steps that are not finite, images that cannot be read.

Steps are compared on the device and looked at together, so that a GPU never waits for the host between two looks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from detection import parallel
from detection.errors import DivergedError, InputError

NAMED = 16
"""Images that a message names at most."""


class Skips:
    """What was left out since the last look.

    nonfinite: steps, and images: unreadable images, that are allowed in the whole run. unreadable: images that others
    stood in for since the last look, and why; this rank's. say: is told each in a line.
    """

    def __init__(self, nonfinite: int, images: int, say: Callable[[str], None]) -> None:
        self.nonfinite, self.images, self.say = nonfinite, images, say
        self.unreadable: dict[str, str] = {}
        self._steps: list[tuple[int, list[str], Tensor]] = []

    def saw(self, iteration: int, names: list[str], values: Tensor) -> Tensor:
        """Whether all of the (n,) `values` of a step are finite on all ranks: a bool on the device."""
        wrong = parallel.largest((~values.isfinite()).float())
        self._steps.append((iteration, names, wrong))
        return ~wrong.any()

    def count_nonfinite(self, before: int, images_of: Callable[[int], list[str]]) -> int:
        """`before` and the steps since the last look that were not finite. Raises `DivergedError` naming the first that
        is too many, its losses and its images; images_of: their names for an iteration, from 0."""
        steps, self._steps = self._steps, []
        if not steps:
            return before
        for (iteration, names, _), row in zip(steps, torch.stack([wrong for *_, wrong in steps]).tolist()):
            if not any(row):
                continue
            wrong = ", ".join(name for name, bad in zip(names, row) if bad)
            message = f"iteration {iteration + 1}: {wrong} not finite{_named(images_of(iteration))}"
            if before == self.nonfinite:
                raise DivergedError(
                    f"{message}; train.skip_nonfinite allows {self.nonfinite} such steps; lower train.lr or set "
                    "train.clip, then resume from the last checkpoint with --resume"
                )
            before += 1
            self.say(f"{message}: step skipped, {before} of {self.nonfinite} allowed")
        return before

    def count_unreadable(self, before: list[str]) -> list[str]:
        """`before` and what any rank could not read since the last look. Raises `InputError` naming the first image
        that is too many."""
        if not self.images:
            return before
        found = {name: why for part in parallel.gather(self.unreadable) for name, why in part.items()}
        self.unreadable = {}
        for name in sorted(found.keys() - set(before)):
            if len(before) == self.images:
                raise InputError(f"{found[name]}; input.skip_unreadable allows {self.images} such images")
            before = [*before, name]
            self.say(f"{found[name]}: replaced by another image, {len(before)} of {self.images} allowed")
        return before


def _named(images: list[str]) -> str:
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return f" (images {', '.join(images[:NAMED])}{more})" if images else ""
