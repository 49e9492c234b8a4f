"""Several blocks deleted or swapped at random (Veit et al. 2016, sections 4.2 and 4.3, figure 5)."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from scipy.stats import kendalltau

from backbones.analysis.lesion import interchangeable, removable, reordered, without
from backbones.nets import Net
from detection.errors import InputError
from detection.markdown import markdown_table

PAPER = """Veit et al. 2016 find that the error of a ResNet-110 grows smoothly with the number of blocks that are
deleted or swapped, as that of an ensemble does which loses members."""


@dataclass(frozen=True)
class Draws:
    """How often and how much is disturbed: numbers of blocks deleted, numbers of pairs swapped, draws of each, seed."""

    removed: Sequence[int] = ()
    swapped: Sequence[int] = ()
    draws: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Disturbed:
    """Errors in percent, one a draw. removed: by number of blocks deleted; swapped: by number of swaps; order: of each
    draw of `swapped` Kendall's rank correlation with the order that was learned, 1 where nothing changed."""

    removed: dict[int, list[float]]
    swapped: dict[int, list[float]]
    order: dict[int, list[float]]


def disturb(net: Net, name: str, draws: Draws, error: Callable[[], float]) -> Disturbed:
    """Errors of `net` under each of the draws; `error` measures it as it is. Draws depend on nothing but `draws` and
    the net's blocks.

    Raises `InputError` where more blocks are asked for than can be deleted, or none can be swapped.
    """
    random_ = random.Random(draws.seed)
    names, stages = removable(net), interchangeable(net)
    too_many = [count for count in draws.removed if count > len(names)]
    if too_many:
        raise InputError(f"--removed {too_many[0]}: {name} has {len(names)} blocks that can be removed")
    if draws.swapped and not stages:
        raise InputError(f"--swapped: {name} has no two blocks that can change places; take a deeper net")

    def measured(change: AbstractContextManager[None]) -> float:
        with change:
            return error()

    removed = {
        count: [measured(without(net, *random_.sample(names, count))) for _ in range(draws.draws)]
        for count in draws.removed
    }
    orders = {count: [_swaps(stages, count, random_) for _ in range(draws.draws)] for count in draws.swapped}
    swapped = {count: [measured(reordered(net, order)) for order in found] for count, found in orders.items()}
    return Disturbed(removed, swapped, {c: [_kendall(stages, order) for order in o] for c, o in orders.items()})


def _swaps(stages: list[list[str]], count: int, random_: random.Random) -> dict[str, str]:
    """Place -> block after `count` swaps of two blocks of one stage, which may undo each other."""
    order = {name: name for names in stages for name in names}
    for _ in range(count):
        stage = random_.choices(stages, weights=[len(names) for names in stages])[0]
        one, other = random_.sample(stage, 2)
        order[one], order[other] = order[other], order[one]
    return order


def _kendall(stages: list[list[str]], order: dict[str, str]) -> float:
    """Kendall's tau of the blocks that can be swapped, from the image to the classifier."""
    places = {name: k for k, name in enumerate(name for names in stages for name in names)}
    ranks = [places[order[name]] for name in places]
    return float(kendalltau(range(len(ranks)), ranks).statistic)


def table(found: dict[str, Disturbed]) -> str:
    """Markdown: median, least and largest error of each net and number."""
    rows = []
    for name, net in found.items():
        for what, errors in (("removed", net.removed), ("swaps", net.swapped)):
            for count, values in errors.items():
                numbers = [f"{f(values):.2f}" for f in (statistics.median, min, max)]
                tau = f"{statistics.mean(net.order[count]):.2f}" if what == "swaps" else ""
                rows.append([name, f"{count} {what}", len(values), *numbers, tau])
    header = ["net", "at random", "draws", "median error %", "least %", "largest %", "Kendall's tau"]
    return f"{markdown_table(header, rows, 'llrrrrr')}\n{PAPER}"
