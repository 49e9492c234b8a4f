"""The parts of an experiment that do not wait for each other: in turn, or many at once on a machine that has room."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from detection import parallel

T = TypeVar("T")


class Jobs:
    """`count` jobs at once, each in a process of its own that lives as long as this; one job runs in this process.

    A context manager: where its body ends by an exception, the processes are asked to stop, which a training answers
    by saving.
    """

    def __init__(self, count: int = 1, logs: Path | None = None) -> None:
        """logs: folder for what each process prints; by default a temporary one."""
        self.count = count
        self._pool: ProcessPoolExecutor | None = None
        if count > 1:
            folder = logs or Path(tempfile.mkdtemp(prefix="jobs"))
            folder.mkdir(parents=True, exist_ok=True)
            # Not forked: a process that has used a GPU or threads of OpenMP cannot be.
            context = multiprocessing.get_context("spawn")
            threads = max(parallel.cores() // count, 1)
            self._pool = ProcessPoolExecutor(
                count, context, initializer=_begin, initargs=(str(folder), threads, multiprocessing.get_start_method())
            )

    def each(self, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
        """`function` of each tuple of arguments, in their order."""
        if self._pool is None:
            return [function(*given) for given in arguments]
        return [future.result() for future in [self._pool.submit(function, *given) for given in arguments]]

    def together(self, chains: Sequence[Callable[[], None]]) -> None:
        """Sequences of jobs that need nothing of each other; each calls `each`. All end before this does; the first
        exception is raised."""
        if self._pool is None:
            for chain in chains:
                chain()
            return
        with ThreadPoolExecutor(max(len(chains), 1)) as threads:
            for future in [threads.submit(chain) for chain in chains]:
                future.result()

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in multiprocessing.active_children():
                process.terminate()
        self._pool.shutdown(cancel_futures=kind is not None)


def _begin(folder: str, threads: int, start_method: str) -> None:
    """What a process prints goes to a file of its own, it leaves the other processes' cores alone, and starts its own
    loaders as this machine does: started as it was itself, each would get a copy of the data through a pipe."""
    import torch

    multiprocessing.set_start_method(start_method, force=True)

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    log = (Path(folder) / f"{os.getpid()}.txt").open("a", buffering=1)
    sys.stdout = sys.stderr = log


def _end_with_the_parent() -> None:
    """Without whom nobody waits for the results: a training saves, and all ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
