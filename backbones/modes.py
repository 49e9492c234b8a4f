"""A loan of a net in training or evaluation mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """`net` in training or evaluation mode; after it every module is in the mode it was in, also after an error."""
    # Module by module: a net may be in training with some of its norms in evaluation.
    before = [(module, module.training) for module in net.modules()]
    net.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
