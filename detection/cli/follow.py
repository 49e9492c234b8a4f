"""What a command that trains prints at its end, and its exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detection.engine.trainable import TrainingResult


def follow(training: Callable[[], TrainingResult | None]) -> int:
    """Run it, print what it found and wrote; 0 when done, 128 + n when stopped by signal n."""
    from detection.engine.signals import Interrupted

    try:
        found = training()
    except Interrupted as stop:
        print(f"{stop}: the run is saved; continue it with --resume", flush=True)
        return 128 + stop.signal
    if found is None:
        return 0
    if found.summary:
        print(f"\n{found.summary}")
    print()
    width = max(len(str(path)) for path in found.files)
    for path, meaning in found.files.items():
        print(f"{path!s:{width}}  {meaning}")
    return 0
