"""Measuring side by side: turn by turn in one process for time, in fresh processes for memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import torch

from detection.markdown import markdown_table

Seconds = dict[str, list[float]]


def alternate(sides: dict[str, Callable[[], Any]], rounds: int) -> Seconds:
    """Seconds of each side in each of `rounds` rounds, one after the other, after one round that does not count."""
    seconds: Seconds = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(seconds: Seconds, peer: str, name: str) -> list[float]:
    """How many times as fast as the peer, in each round."""
    return [a / b for a, b in zip(seconds[peer], seconds[name])]


@dataclass
class Table:
    """Rows of one comparison, and the numbers behind them. peer: the side that all others are divided by."""

    peer: str
    unit: str = "ms"
    numbers: dict[str, Any] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)

    def add(self, work: str, seconds: Seconds, notes: dict[str, str] | None = None) -> None:
        self.numbers[work] = {"seconds": seconds}
        for name, taken in seconds.items():
            times = ratios(seconds, self.peer, name)
            middle = statistics.median(times)
            self.numbers[work].setdefault("ratio", {})[name] = middle
            spread = "" if name == self.peer else f"{middle:.2f} ({min(times):.2f} to {max(times):.2f})"
            scale = 1000 if self.unit == "ms" else 1
            shown = f"{scale * statistics.median(taken):.4g}"
            self.rows.append([work, name, shown, spread, (notes or {}).get(name, "")])

    def text(self) -> str:
        header = ["work", "by", f"median {self.unit}", f"times as fast as {self.peer}", ""]
        return markdown_table(header, self.rows, "llrrl")


def resident() -> float:
    """MB of memory that this process has touched at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """What the function gives in a process of its own, whose peak of memory no other work has raised."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(function, *args).result()
