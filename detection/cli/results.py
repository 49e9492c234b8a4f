"""What a command that trains prints at its end, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from detection.engine.trainable import TrainingResult
    from detection.folds.result import FoldedResult


def print_result(found: TrainingResult | None) -> None:
    """What the best weights achieve and every file; nothing on ranks other than the first."""
    if found is None:
        return
    if found.summary:
        print(f"\n{found.summary}")
    _print_files(found.files)


def print_folds(found: FoldedResult | None) -> None:
    """What the folds of a cross-validation find together; nothing of one that was only tried out."""
    if found is not None:
        print(f"\n{found.text}")
        _print_files(found.files)


def result_for_programs(found: TrainingResult | FoldedResult | None) -> dict[str, Any]:
    """The numbers of the best weights and the files, as `--json` prints them; empty after a dry run."""
    if found is None:
        return {}
    from detection.evaluation.coco_ap import CocoResult
    from detection.evaluation.report import to_json
    from detection.folds.result import FoldedResult

    numbers = found.result if isinstance(found, FoldedResult) else found.evaluation
    return {
        "evaluation": to_json(numbers) if isinstance(numbers, CocoResult) else numbers,
        "files": {str(path): meaning for path, meaning in found.files.items()},
    }


def _print_files(files: dict[Path, str]) -> None:
    print()
    width = max(len(str(path)) for path in files)
    for path, meaning in files.items():
        print(f"{path!s:{width}}  {meaning}")
