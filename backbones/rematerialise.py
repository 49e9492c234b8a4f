"""Running a stage without keeping its activations: they are computed again in the backward pass.

A stage of n blocks keeps about 2 sqrt(n) activations in place of n, for one more forward pass (Chen et al. 2016).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_rematerialised(blocks: nn.Sequential, x: Tensor) -> Tensor:
    """blocks(x) in about sqrt(n) segments, whose inputs alone are kept for the backward pass."""
    length = max(math.isqrt(len(blocks)), 1)
    for first in range(0, len(blocks), length):
        segment = blocks[first : first + length]

        x = checkpoint(segment, x, use_reentrant=False, context_fn=partial(_contexts, segment))
    return x


def _contexts(segment: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first forward pass and around the second."""
    return contextlib.nullcontext(), _statistics_held(segment)


@contextlib.contextmanager
def _statistics_held(module: nn.Module) -> Iterator[None]:
    """The second forward pass sees the same batch: running statistics must not move a second time."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:  # a norm that does not track at all would save other tensors than in the first pass
        norm.momentum = 0.0
        # A copy to count in: synchronised norms refuse to go without one.
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum, norm.num_batches_tracked = momentum, count
