"""`metrics.jsonl`, a line per report, and `results.csv`, a row per evaluation.

A resumed run cuts off what was written past its checkpoint, so that no iteration appears twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detection.engine.callback import Callback
from detection.files.atomic import cannot_write, write_atomically


class MetricFiles(Callback):
    """Both files in `folder`. Whatever writes raises `InputError` where the disk is full or the folder has gone."""

    def __init__(self, folder: Path) -> None:
        self.lines, self.table = folder / "metrics.jsonl", folder / "results.csv"
        self._rows: list[dict[str, Any]] = []

    def on_start(self, iteration: int, total: int) -> None:
        self._rows = _rows_until(self.lines, iteration)
        write_atomically(self.lines, "".join(json.dumps(row) + "\n" for row in self._rows).encode())
        if self.table.exists():
            self._write_table()

    def on_report(self, iteration: int, values: dict[str, float]) -> None:
        self._append("train", iteration, values)

    def on_evaluation(self, iteration: int, metrics: dict[str, float]) -> None:
        self._append("val", iteration, metrics)
        self._write_table()

    def before_checkpoint(self) -> None:
        with writing(self.lines), self.lines.open("rb") as file:
            os.fsync(file.fileno())

    def _append(self, kind: str, iteration: int, values: dict[str, float]) -> None:
        row = {"kind": kind, "iteration": iteration, **{k: float(f"{v:.6g}") for k, v in values.items()}}
        self._rows.append(row)
        with writing(self.lines), self.lines.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _write_table(self) -> None:
        rows = [row for row in self._rows if row["kind"] == "val"]
        names = dict.fromkeys(name for row in rows for name in row if name != "kind")
        with io.StringIO(newline="") as table:
            writer = csv.DictWriter(table, list(names), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            write_atomically(self.table, table.getvalue().encode())


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses to write is an `InputError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def _rows_until(path: Path, iteration: int) -> list[dict[str, Any]]:
    """Reports up to `iteration`: those past the checkpoint that a run resumes from are made again."""
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        # A killed run may leave half a line, a machine without power zeros.
        with contextlib.suppress(json.JSONDecodeError, TypeError, KeyError):
            row = json.loads(line)
            if row["iteration"] <= iteration:
                rows.append(row)
    return rows
