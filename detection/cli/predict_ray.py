"""`frcnn predict --engine ray`: the batches are shared out among workers on a cluster.

Workers hold a detector each and answer with what they found; this process alone writes answers down, one line a batch,
as without Ray. A batch whose worker dies before its answer is here goes back to the others, and no line is written
twice, so each image is in the result exactly once. Whoever kills this process goes on with --resume.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detection.counted import counted
from detection.errors import InputError
from detection.progress import track

Load = Callable[[argparse.Namespace, Any], Any]
Answer = tuple[list[dict[str, Any]], list[str]]
Write = Callable[[Sequence[Path], list[dict[str, Any]], list[str]], None]

ATTEMPTS = 3
"""Workers that a batch may cost before it is thought to be what kills them."""

PATIENCE = 60.0
"""Seconds without any worker at work, after which it is told that the cluster has no room."""


def refuse_what_ray_does_not_do(args: argparse.Namespace) -> None:
    """Raise `InputError` for options that do not go with --engine ray, or where Ray is not installed."""
    from detection import parallel
    from detection.predict.video import is_video

    if args.processes > 1 or parallel.launched():
        raise InputError("--engine ray: takes as many workers as the cluster has room for; leave out --processes")
    videos = [name for name in args.images if is_video(name)]
    if videos:
        raise InputError(f"--engine ray: {videos[0]} is a video, whose frames come one by one; leave out --engine")
    _ray()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError('--engine ray: Ray is not installed; pip install "frcnn-toolkit[ray]"') from error
    return ray


class Worker:
    """One process of the cluster with a detector. Paths are taken as from `folder`, where the command was started."""

    def __init__(self, args: argparse.Namespace, folder: str, load: Load) -> None:
        self.args, self.folder, self.load = args, folder, load
        self.detector: Any = None

    def ready(self) -> None:
        """Load the detector; not sooner, so that what is wrong with it arrives as the error that it is."""
        from detection import parallel

        if not Path(self.folder).is_dir():
            raise InputError(f"{self.folder}: a node of the cluster has no such folder; all need the same storage")
        os.chdir(self.folder)
        self.detector = self.load(self.args, parallel.choose_device(self.args.device))

    def predict(self, paths: list[Path], names: Mapping[Path, str]) -> Answer:
        """One batch: its records, and why images of it were skipped."""
        from detection.cli.finished import finish_batch
        from detection.predict.prepare import in_precision
        from detection.predict.stream import Decoder

        args, detector = self.args, self.detector
        skip = args.invalid == "skip"
        decoder = Decoder(detector.prepare, args.workers or 1, skip, detector.grey_bits, slides=args.tile > 0)
        with in_precision(args.precision, detector.device):
            (batch,) = decoder([paths])
            found = [some.above(args.least) for some in detector.detect(batch.inputs)]
        return finish_batch(args, names, detector.class_names, batch, found), batch.skipped


def predict_on_ray(
    args: argparse.Namespace, load: Load, batches: Sequence[list[Path]], names: Mapping[Path, str], write: Write
) -> None:
    """Have every batch predicted, and `write` each once. args: as given on the command line; load: makes the detector.

    Raises `InputError` as the detector and images do, and for a batch that kills one worker after the other.
    """
    if not batches:
        return
    ray = _ray()
    with _cluster(ray):
        crew = _Crew(ray, args, load, len(batches))
        try:
            for paths, (records, skipped) in track(crew.answers(batches, names), "predicting", len(batches)):
                write(paths, records, skipped)
        finally:
            crew.dismiss()
    if crew.lost:
        print(f"lost {counted(crew.lost, 'worker')}; others did what they had begun")


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """Connected to the cluster of RAY_ADDRESS, or to one that runs on this machine, or to one of this machine alone."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--engine ray: no cluster at RAY_ADDRESS ({str(error).splitlines()[0]}); start one, or unset it"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class _Crew:
    """The workers; whoever dies is replaced. lost: how many died."""

    def __init__(self, ray: Any, args: argparse.Namespace, load: Load, most: int) -> None:
        self.ray, self.args, self.load, self.lost = ray, args, load, 0
        there = ray.cluster_resources()
        on_gpus = there.get("GPU", 0) >= 1 and args.device.startswith(("auto", "cuda"))
        self.needs = {"num_gpus": 1} if on_gpus else {"num_cpus": 1}
        room = int(there.get("GPU" if on_gpus else "CPU", 0))
        if not room:
            raise InputError("--engine ray: the cluster has no processor to give; start nodes with --num-cpus")
        self.busy: dict[Any, tuple[Any, list[Path] | None]] = {}
        for _ in range(min(room, most)):
            self._hire()

    def _hire(self) -> None:
        worker = self.ray.remote(**self.needs)(Worker).remote(self.args, os.getcwd(), self.load)
        self.busy[worker.ready.remote()] = (worker, None)

    def answers(self, batches: Sequence[list[Path]], names: Mapping[Path, str]) -> Iterator[tuple[list[Path], Answer]]:
        """Each batch with its answer, in whatever order they come. Only workers that are ready are given a batch: one
        that waits for room on the cluster must not hold any."""
        waiting, idle, died = deque(batches), deque[Any](), Counter[Path]()
        left = len(batches)
        while left:
            while waiting and idle:
                worker, paths = idle.popleft(), waiting.popleft()
                task = worker.predict.remote(paths, {path: names[path] for path in paths})
                self.busy[task] = (worker, paths)
            for task in self._ended():
                worker, begun = self.busy.pop(task)
                try:
                    answer = self.ray.get(task)
                except self.ray.exceptions.RayTaskError as error:  # what the worker raised
                    raise error.cause from error
                except self.ray.exceptions.RayError as error:  # the worker, its node or its answer is gone
                    self._replace(worker, begun, died, str(error))
                    if begun is not None:
                        waiting.appendleft(begun)
                    continue
                idle.append(worker)
                if begun is not None:
                    left -= 1
                    yield begun, answer

    def _ended(self) -> list[Any]:
        ended, _ = self.ray.wait(list(self.busy), num_returns=1, timeout=PATIENCE)
        if not ended and all(paths is None for _, paths in self.busy.values()):
            print("waiting for the cluster to have room for a worker", flush=True)
        return list(ended)

    def _replace(self, worker: Any, begun: list[Path] | None, died: Counter[Path], why: str) -> None:
        self.lost += 1
        self.ray.kill(worker)
        whose = Path() if begun is None else begun[0]
        died[whose] += 1
        if died[whose] >= ATTEMPTS:
            what = "workers die before they are ready" if begun is None else f"{whose}: killed its workers"
            raise InputError(f"--engine ray: {what}, {ATTEMPTS} times; {why.splitlines()[0]}")
        self._hire()

    def dismiss(self) -> None:
        """End all workers that work; idle ones go with the last reference to them."""
        for worker, _ in self.busy.values():
            self.ray.kill(worker)
