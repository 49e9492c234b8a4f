"""Which image comes when, as a pure function of the seed and the step.

Nothing here has a state to save: a run that starts again at step s draws what it would have drawn, whatever the
number of processes and workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detection.data.index import AnnotationIndex


@dataclass(frozen=True)
class Draw:
    """One image of a batch: its row in the dataset, the seed of all that is random about it (augmentation, sampling of
    anchors and regions), its short side in pixels."""

    row: int
    seed: int
    short_side: int


class TrainingOrder:
    """Batches of draws from step `start` to step `stop`, for one process of several.

    Every image comes once an epoch, or as often as `repeats` says. With `group_by_aspect`, a batch holds only wide or
    only tall images, save for those left over at the end of an epoch; the last batch of an epoch is filled up with the
    epoch's first images.

    Args:
        sizes: (N, 2) height and width of the images.
        batch: images a step, over all processes; must be divisible by `world * splits`.
        short_sides: one is drawn for each step.
        rank, world: this process and their number.
        splits: parts that a process takes its share of a step in (gradient accumulation).
        repeats: (N,) how often each image comes an epoch; between two whole numbers, either in turn, so that one of
            less than 1 comes in some epochs. None: once.
    """

    def __init__(
        self,
        sizes: np.ndarray,
        batch: int,
        short_sides: list[int],
        seed: int,
        stop: int,
        start: int = 0,
        group_by_aspect: bool = True,
        rank: int = 0,
        world: int = 1,
        splits: int = 1,
        repeats: np.ndarray | None = None,
    ) -> None:
        if batch % (world * splits):
            raise ValueError(f"a batch of {batch} images cannot be shared by {world} processes in {splits} parts each")
        self.wide = sizes[:, 1] >= sizes[:, 0] if group_by_aspect else np.ones(len(sizes), dtype=bool)
        self.batch = batch
        self.short_sides = short_sides
        self.seed = seed
        self.start, self.stop = start, stop
        self.rank, self.world, self.splits = rank, world, splits
        self._plan: tuple[int, np.ndarray] = (-1, np.empty((0, batch), dtype=np.int64))
        self.repeats = repeats
        self.draws = len(sizes) if repeats is None else math.ceil(float(repeats.sum()))
        self.steps_per_epoch = -(-self.draws // batch)

    def __len__(self) -> int:
        return (self.stop - self.start) * self.splits

    def __iter__(self) -> Iterator[list[Draw]]:
        share = self.batch // self.world
        part = share // self.splits
        for step in range(self.start, self.stop):
            mine = self.step(step)[self.rank * share : (self.rank + 1) * share]
            for i in range(self.splits):
                yield mine[i * part : (i + 1) * part]

    def step(self, step: int) -> list[Draw]:
        """All draws of one step, over all processes."""
        epoch, position = divmod(step, self.steps_per_epoch)
        rows = self._epoch(epoch)[position]
        random = np.random.default_rng((self.seed, step, 1))
        short_side = self.short_sides[int(random.integers(len(self.short_sides)))]
        seeds = random.integers(2**32, size=self.batch)
        return [Draw(int(row), int(seed), short_side) for row, seed in zip(rows, seeds)]

    def _epoch(self, epoch: int) -> np.ndarray:
        """(steps_per_epoch, batch) rows."""
        if self._plan[0] != epoch:
            random = np.random.default_rng((self.seed, epoch, 0))
            order = random.permutation(len(self.wide))
            if self.repeats is not None:
                order = random.permutation(np.repeat(order, self._counts(order, float(random.random()))))
            whole, rest = [], []
            for group in (order[self.wide[order]], order[~self.wide[order]]):
                cut = len(group) // self.batch * self.batch
                whole.append(group[:cut])
                rest.append(group[cut:])
            left = np.concatenate(rest)
            filler = np.resize(order, -len(left) % self.batch)
            tail = np.concatenate([left, filler]).reshape(-1, self.batch)
            batches = np.concatenate([np.concatenate(whole).reshape(-1, self.batch), tail])
            self._plan = (epoch, batches[random.permutation(len(batches))])
        return self._plan[1]

    def _counts(self, order: np.ndarray, offset: float) -> np.ndarray:
        """How often each image of `order` comes in an epoch, `draws` in all: the whole numbers that the running sum of
        `repeats` passes (systematic sampling), so that the mean over epochs is each image's own."""
        assert self.repeats is not None
        passed = np.cumsum(self.repeats[order] * (self.draws / float(self.repeats.sum()))) + offset
        passed[-1] = self.draws + offset  # without the rounding of the sum
        return np.diff(np.floor(passed + 1e-9).astype(np.int64), prepend=math.floor(offset + 1e-9))


def repeat_factors(index: AnnotationIndex, threshold: float) -> np.ndarray:
    """(N,) how often each image comes an epoch, by its rarest class (Gupta et al. 2019, section 5.1): the root of
    `threshold` over the share of the images that have the class, and never less than once."""
    image = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    classes, images = len(index.class_names), len(index)
    has = np.zeros((images, classes), dtype=bool)
    has[image, index.labels] = True
    share = has.sum(axis=0) / max(images, 1)
    factor = np.sqrt(threshold / np.maximum(share, 1e-12)).clip(min=1.0)
    return np.where(has, factor, 1.0).max(axis=1, initial=1.0)


class EvaluationOrder:
    """Every image once, over all processes together: process r takes batches r, r + world, ...

    The batches are those of one process, since the padding of an image depends on the others in its batch. The seed of
    an image is its row: it has the same anchors and regions sampled in every evaluation.
    """

    def __init__(self, count: int, batch: int, short_side: int, rank: int = 0, world: int = 1) -> None:
        self.count = count
        self.batch = batch
        self.short_side = short_side
        self.starts = range(rank * batch, count, world * batch)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[Draw]]:
        for start in self.starts:
            rows = range(start, min(start + self.batch, self.count))
            yield [Draw(row, row, self.short_side) for row in rows]
