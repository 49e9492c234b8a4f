"""Kill training runs at random moments and check that nothing of them is lost.

A tiny detector is trained once without disturbance. Then the same run is trained again and again, with SIGKILLs until
enough were given: at random moments, and, every second one, as soon as a temporary file shows that a checkpoint is
being written. Each run is resumed until its end, and must have the weights of the undisturbed one to the last bit,
and no line more or less in any of its files.

    python tools/chaos.py --kills 50 --results results/robustness
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_run import tiny_options

from detection import checkpoint
from detection.cli.main import main as frcnn
from detection.data.shapes import write_shapes
from detection.files.atomic import TEMPORARY, write_atomically
from detection.files.outputs import MARKER

CHANGES = {
    "input__train_short_sides": "[64,96]",
    "input__augment": "[{name: HorizontalFlip, p: 0.5}, {name: GaussNoise, p: 0.5}]",
    "input__workers": "1",
    "model__width": "16",
    "train__iterations": None,
    "train__ema": "0.9",
    "train__schedule": "plateau",
    "train__metric": "loss",
    "train__log_every": "2",
    "train__checkpoint_every": "3",
    "train__evaluate_every": "6",
}
"""Of the tiny run's settings: everything that a resumed run must continue exactly is in use."""


@dataclass
class Kill:
    """aimed: at a checkpoint being written; after: seconds; iteration: of `last.pt`, -1 where there was none; half: a
    checkpoint was left half-written."""

    run: int
    aimed: bool
    after: float
    iteration: int
    half: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--iterations", type=int, default=24, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--results", type=Path, help="folder for chaos.json and chaos.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        report = chaos(Path(name), args.kills, args.iterations, random.Random(args.seed))
    print(to_markdown(report))
    if args.results:
        write_atomically(args.results / "chaos.json", json.dumps(report, indent=1).encode())
        write_atomically(args.results / "chaos.md", to_markdown(report).encode())
    return 0 if report["identical"] == report["runs"] and report["kills"] >= args.kills else 1


def chaos(folder: Path, wanted: int, iterations: int, moments: random.Random) -> dict[str, Any]:
    """Kill runs `wanted` times; what happened, and how many runs ended as the undisturbed one did."""
    data = write_shapes(folder / "shapes", train=8, val=3, size=96)
    options = tiny_options(**CHANGES)
    options += [f"--data={data}", f"--train.iterations={iterations}"]
    whole = folder / "whole"
    began = time.monotonic()
    status = finish([*options, f"--output={whole}"])
    assert status == 0, f"the undisturbed run failed: status {status}"
    length = time.monotonic() - began
    kills: list[Kill] = []
    differences: dict[int, list[str]] = {}
    run = 0
    while len(kills) < wanted:
        run += 1
        output = folder / f"run{run}"
        while True:
            aimed = len(kills) % 2 == 1
            before = writes(output)
            done = attempt([*options, f"--output={output}", "--resume=true"], output, aimed, length, moments)
            if done is None:
                break
            kills.append(Kill(run, aimed, round(done, 3), iteration_of(output), bool(writes(output) - before)))
            if len(kills) >= wanted:  # enough: let this last run finish
                status = finish([*options, f"--output={output}", "--resume=true"])
                assert status == 0, f"run {run} cannot be resumed: status {status}"
                break
        differences[run] = difference(whole, output)
    identical = sum(not found for found in differences.values())
    return {
        "command": f"python tools/chaos.py --kills {wanted} --iterations {iterations}",
        "torch": str(torch.__version__),
        "kills": len(kills),
        "aimed": sum(kill.aimed for kill in kills),
        "in_a_write": sum(kill.half for kill in kills),
        "resumed": len(kills),
        "runs": run,
        "identical": identical,
        "differences": {str(number): found for number, found in differences.items() if found},
        "each": [asdict(kill) for kill in kills],
    }


def start(arguments: list[str]) -> int:
    """A child process, forked so that it need not import torch again, that trains."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        status = frcnn(["train", *arguments])
    finally:
        os._exit(status)


def finish(arguments: list[str]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(start(arguments), 0)[1])


def attempt(arguments: list[str], output: Path, aimed: bool, length: float, moments: random.Random) -> float | None:
    """Go on with a run and kill it; the seconds it had, or None where it was at its end before."""
    child = start(arguments)
    began = time.monotonic()
    moment = moments.uniform(0.02, 1.0) * length
    skip = moments.randrange(1, 6)
    before, seen = writes(output), set[int]()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            assert code == 0, f"the run cannot be resumed: status {code}"
            return None
        passed = time.monotonic() - began
        if aimed:
            seen |= writes(output) - before
            due = len(seen) >= skip
            if due:
                time.sleep(moments.uniform(0, 0.004))
        else:
            due = passed > moment
            time.sleep(0.001)
        if due:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return time.monotonic() - began


def writes(output: Path) -> set[int]:
    """Inodes of the temporary files of checkpoints in `output` at this moment."""
    try:
        with os.scandir(output) as entries:
            return {e.inode() for e in entries if TEMPORARY.fullmatch(e.name) and ".pt." in e.name}
    except FileNotFoundError:
        return set()


def iteration_of(output: Path) -> int:
    """Iteration of `last.pt`, which must be whole; -1 where there is none yet."""
    last = output / checkpoint.LAST
    return int(checkpoint.load(last, "detection")["iteration"]) if last.exists() else -1


def difference(whole: Path, other: Path) -> list[str]:
    """What two finished runs do not have in common."""
    found: list[str] = []
    for name in ("last.pt", "best.pt"):
        one, two = (checkpoint.load(folder / name, "detection") for folder in (whole, other))
        for key in ("iteration", "metrics", "model", *(["training"] if name == "last.pt" else [])):
            compare(one[key], two[key], f"{name} {key}", found)
    for name in ("results.csv", "predictions.json", "evaluation.json"):
        if (whole / name).read_bytes() != (other / name).read_bytes():
            found.append(name)
    if lines_of(whole) != lines_of(other):
        found.append("metrics.jsonl")
    if events_of(whole) != events_of(other):
        found.append("tensorboard")
    found += [
        f"left behind: {path.name}" for path in other.iterdir() if path.name.startswith(".") and path.name != MARKER
    ]
    return found


def compare(one: Any, two: Any, where: str, found: list[str]) -> None:
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        for key in one:
            compare(one[key], two[key], f"{where}.{key}", found)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for i, (a, b) in enumerate(zip(one, two)):
            compare(a, b, f"{where}[{i}]", found)
    elif not (torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two):
        found.append(where)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Reports without the speed and memory, which are no two runs' the same."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("images_per_second", "waiting", "memory_gib")} for row in rows]


def events_of(folder: Path) -> list[tuple[int, str]]:
    """(step, tag) of everything that TensorBoard would show."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = (folder / "tensorboard").glob("events.out.tfevents.*")
    events = [event for path in files for event in EventFileLoader(str(path)).Load()]
    return sorted((event.step, value.tag) for event in events for value in event.summary.value)


def to_markdown(report: dict[str, Any]) -> str:
    lines = [
        "# Runs that are killed",
        "",
        f"`{report['command']}`, torch {report['torch']}, CPU, one thread",
        "",
        "| | |",
        "| --- | --- |",
        f"| SIGKILLs | {report['kills']} |",
        f"| of these aimed at a checkpoint being written | {report['aimed']} |",
        f"| of these that left half a checkpoint | {report['in_a_write']} |",
        f"| resumed | {report['resumed']} of {report['kills']} |",
        f"| runs | {report['runs']} |",
        f"| runs that ended bit-identical to the undisturbed one | {report['identical']} of {report['runs']} |",
        *(f"| what differed in run {run} | {', '.join(found)} |" for run, found in report["differences"].items()),
        "",
        "Compared: every tensor of last.pt (weights, average, optimiser, progress) and best.pt, metrics.jsonl without",
        "the speed, results.csv, predictions.json, evaluation.json, TensorBoard's steps and tags; no temporary file.",
        "",
        "| kill | run | aimed at a write | after s | iteration of the checkpoint | half a file left |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, kill in enumerate(report["each"], 1):
        aimed, half = ("yes" if kill[key] else "" for key in ("aimed", "half"))
        iteration = "none yet" if kill["iteration"] < 0 else kill["iteration"]
        lines.append(f"| {number} | {kill['run']} | {aimed} | {kill['after']:.2f} | {iteration} | {half} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
