"""What a service costs: the same images through `frcnn serve` and through the model in a loop, and what it bears."""

from __future__ import annotations

import http.client
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import detection
from detection.experiments.report import Report
from detection.loading.datasets import load_split
from detection.markdown import markdown_table
from detection.predict.output import encoded

LOOP = "no service, in a loop"
CALLERS = (1, 4, 16)
QUANTILES = (0.5, 0.95, 0.99)
SMALL = 64
WARM = 500


def measure(run: str, requests: int, rounds: int, command: list[str]) -> Report:
    """run: the folder of a trained detector, whose validation images are asked for; requests: over which the memory of
    the service is watched, of small images."""
    detector = detection.load(run, "cpu")
    index, _ = load_split(detector.config, detector.config.dataset.val or "val", detector.class_names)
    files = [index.path(row).read_bytes() for row in range(len(index))]
    rates: dict[str, list[float]] = {name: [] for name in (LOOP, *map(_name, CALLERS))}
    latencies: dict[str, list[float]] = {_name(callers): [] for callers in CALLERS}
    with serving(run) as (address, _):
        for body in files[:3]:
            detector(body)
            ask(address, body)
        for _ in range(rounds):
            began = time.perf_counter()
            for body in files:
                detector(body)
            rates[LOOP].append(len(files) / (time.perf_counter() - began))
            for callers in CALLERS:
                rate, each = _load(address, files, callers)
                rates[_name(callers)].append(rate)
                latencies[_name(callers)] += each
        with hostile_to(address) as refused:
            under_fire, _ = _load(address, files, 4)
    memory = _memory(run, requests)
    rows = []
    for name, own in rates.items():
        share = statistics.median(a / b for a, b in zip(own, rates[LOOP]))
        points = [f"{1000 * float(np.quantile(latencies[name], q)):.0f}" for q in QUANTILES if name != LOOP]
        rows.append([name, f"{statistics.median(own):.2f}", f"{share:.2f}", *(points or [""] * len(QUANTILES))])
    text = f"""{markdown_table(["callers", "images/s", "of the loop", "p50 ms", "p95 ms", "p99 ms"], rows)}

{len(files)} images a round, {rounds} rounds turn by turn; every request was answered.

Beside 8 callers that send truncated files, pictures of 100 million pixels, text, damaged files and bodies that never
come, 4 callers got {under_fire:.2f} images/s and no failure. Of the others' requests
{", ".join(f"{n} were answered with {status}" for status, n in sorted(refused.items()))}.

The memory of the process was {memory[0]:.0f} MiB after {WARM} requests and {memory[-1]:.0f} MiB after {requests}
(an input of {SMALL} pixels)."""
    numbers = {"images_per_second": rates, "seconds": latencies, "under_fire": under_fire, "memory_mib": memory}
    return Report("benchmark_serve", "What a service costs", command, {**numbers, "refused": dict(refused)}, text, {})


def _name(callers: int) -> str:
    return f"{callers} at once"


@contextmanager
def serving(run: str, *options: str) -> Iterator[tuple[str, int]]:
    """Host and port of a service of the run, and its process."""
    command = [sys.executable, "-m", "detection", "serve", run, "--port=0", "--device=cpu", "--timeout=30", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        found = next(filter(None, (re.match(r"serving at http://(.*)\n", line) for line in lines)))
        yield found[1], process.pid
    finally:
        process.terminate()
        process.wait(60)


def ask(address: str, body: bytes, connection: http.client.HTTPConnection | None = None) -> int:
    connection = connection or http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/predict", body)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _load(address: str, files: Sequence[bytes], callers: int) -> tuple[float, list[float]]:
    """Images a second with so many callers, and the seconds of each request."""
    own = threading.local()

    def one(body: bytes) -> float:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(address, timeout=60)
        began = time.perf_counter()
        status = ask(address, body, own.connection)
        assert status == 200, status
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        seconds = list(pool.map(one, files))
    return len(files) / (time.perf_counter() - began), seconds


@contextmanager
def hostile_to(address: str, callers: int = 8) -> Iterator[dict[int, int]]:
    """Statuses of what hostile callers were answered meanwhile."""
    photo = encoded(np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8))
    huge = encoded(np.zeros((10_000, 10_000, 3), np.uint8), "PNG")
    bodies = [photo[: len(photo) // 2], huge, b"text" * 1000, b"\xff\xd8\xff" + bytes(1000)]
    refused: dict[int, int] = {}
    done = threading.Event()

    def bother(k: int) -> None:
        while not done.wait(0.02):
            if k % 4 == 3:
                _open_a_body_that_never_comes(address, done)
                continue
            status = ask(address, bodies[k % len(bodies)])
            refused[status] = refused.get(status, 0) + 1

    threads = [threading.Thread(target=bother, args=(k,)) for k in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield refused
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _open_a_body_that_never_comes(address: str, done: threading.Event) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as opened:
        opened.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxx")
        done.wait(5)


def _memory(run: str, requests: int) -> list[float]:
    """MiB of the service's process after `WARM` requests and then ten times until the last."""
    random = np.random.default_rng(0)
    bodies = [encoded(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in ((60, 90), (90, 60), (64, 64))]
    found = []
    with serving(run, f"--size={SMALL}") as (address, process):
        done = 0
        for goal in [WARM, *(requests * k // 10 for k in range(1, 11))]:
            if goal > done:
                _load(address, [bodies[k % len(bodies)] for k in range(goal - done)], 4)
                done = goal
                found.append(_resident(process))
    return found


def _resident(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
