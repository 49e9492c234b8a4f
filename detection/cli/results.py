"""What a command that trains prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detection.engine.trainable import TrainingResult


def print_result(found: TrainingResult | None) -> None:
    """What the best weights achieve and every file; nothing on ranks other than the first."""
    if found is None:
        return
    if found.summary:
        print(f"\n{found.summary}")
    print()
    width = max(len(str(path)) for path in found.files)
    for path, meaning in found.files.items():
        print(f"{path!s:{width}}  {meaning}")
