"""Damaged files against everything that reads one: each is accepted, or refused in one line that names it.

Cases run in a process of its own with a limit of memory, each with a limit of time; a case is repeated by its seed,
target and number: `python tools/fuzz.py --seed S --only TARGET:NUMBER`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import torch
from fuzz_targets import TARGETS, Originals

from detection.cli.arguments import Parser, at_least
from detection.engine.provenance import versions
from detection.errors import InputError, printable
from detection.files.atomic import write_atomically
from detection.markdown import fenced, markdown_table

COUNTS = {"annotations": 12000, "images": 2400, "checkpoints": 900, "configs": 400, "predictions": 600}
"""cases of each kind, shared out among its targets"""
SECONDS = 10
"""of the processor that a case may take; the same machine does other work"""
WAIT = 300
"""seconds after which a case that takes no processor time is given up"""
MEMORY = 2 << 30
"""bytes beyond what the process has when it starts"""

BAD = ("traceback", "hang", "crash", "message")


class _TimeIsUp(BaseException):
    """Not an Exception, which code under test may turn into a refusal."""


def run_case(originals: Originals, target: str, number: int, seed: int) -> dict[str, Any]:
    """One case: its outcome, seconds, and what was said."""
    make = next(targets[target] for targets in TARGETS.values() if target in targets)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=originals.folder))
    try:
        usual = sys.getrecursionlimit()
        sys.setrecursionlimit(50_000)  # to make what is nested deeply; what reads it has the usual limit
        read = make(originals, folder, random.Random(f"{seed} {target} {number}"))
        sys.setrecursionlimit(usual)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        began = time.process_time()
        outcome, said = "accepted", ""
        try:
            read()
        except InputError as error:
            outcome, said = "refused", str(error)
            if "\n" in said or printable(said) != said or folder.name not in said:
                outcome = "message"
        except _TimeIsUp:
            outcome, said = "hang", traceback.format_exc()[-1500:]
        except BaseException:
            outcome, said = "traceback", traceback.format_exc()[-3000:]
        signal.setitimer(signal.ITIMER_PROF, 0)
        return {"outcome": outcome, "seconds": time.process_time() - began, "said": said}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Worker:
    """A forked process that runs cases; one that dies or does not answer is a finding, and is replaced."""

    def __init__(self, originals: Originals, seed: int) -> None:
        self.originals, self.seed = originals, seed
        self._start()

    def _start(self) -> None:
        (mine, theirs), (answers, reply) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(theirs)
            os.close(answers)
            _serve(self.originals, self.seed, mine, reply)
        os.close(mine)
        os.close(reply)
        self.ask, self.answers = os.fdopen(theirs, "w"), os.fdopen(answers, "r")

    def run(self, target: str, number: int) -> dict[str, Any]:
        self.ask.write(f"{target} {number}\n")
        self.ask.flush()
        ready, _, _ = select.select([self.answers], [], [], WAIT)
        line = self.answers.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        self.stop()
        self._start()
        return {"outcome": "crash" if ready else "hang", "seconds": float(WAIT), "said": "the process died or hung"}

    def stop(self) -> None:
        self.ask.close()
        self.answers.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _serve(originals: Originals, seed: int, asked: int, reply: int) -> NoReturn:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, _stop)
    # What a library prints on the way is no part of the outcome.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with os.fdopen(asked) as questions, os.fdopen(reply, "w") as answers:
        for line in questions:
            target, number = line.split()
            answers.write(json.dumps(run_case(originals, target, int(number), seed)) + "\n")
            answers.flush()
    os._exit(0)


def _stop(*_: object) -> NoReturn:
    raise _TimeIsUp


def fuzz(cases: list[tuple[str, int]], seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Run the cases; of each target its outcomes, slowest case and failures."""
    worker = Worker(Originals(folder), seed)
    found: dict[str, dict[str, Any]] = {}
    try:
        for target, number in cases:
            case = worker.run(target, number)
            row = found.setdefault(
                target, {"cases": 0, "outcomes": Counter(), "slowest": {"seconds": 0}, "failures": []}
            )
            row["cases"] += 1
            row["outcomes"][case["outcome"]] += 1
            if case["seconds"] > row["slowest"]["seconds"]:
                row["slowest"] = {"case": f"{target}:{number}", "seconds": round(case["seconds"], 3)}
            if case["outcome"] in BAD:
                row["failures"].append({"case": f"{target}:{number}", **case})
                print(f"{target}:{number}: {case['outcome']}: {case['said'].strip().splitlines()[-1:]}", flush=True)
    finally:
        worker.stop()
    return found


def chosen(kind: str, count: int | None) -> list[tuple[str, int]]:
    """(target, number) of every case of a kind, or of all."""
    cases = []
    for name, targets in TARGETS.items():
        if kind in (name, "all"):
            each = -(-(count or COUNTS[name]) // len(targets))
            cases += [(target, number) for target in targets for number in range(each)]
    return cases


def table(found: dict[str, dict[str, Any]]) -> str:
    rows = [
        [name, row["cases"], row["outcomes"]["accepted"], row["outcomes"]["refused"], len(row["failures"])]
        + [f"{row['slowest']['seconds']:.2f} s ({row['slowest'].get('case', '')})"]
        for name, row in found.items()
    ]
    return markdown_table(["target", "cases", "accepted", "refused in one line", "failures", "slowest"], rows, "lrrrrl")


def main(arguments: list[str]) -> int:
    """0 where every case was accepted or refused in one line, else 1."""
    parser = Parser("fuzz.py", __doc__ or "")
    parser.add_argument("--kind", choices=[*TARGETS, "all"], default="all", help="what to damage")
    parser.add_argument("--count", type=at_least(1), help=f"cases of each kind; default {COUNTS}")
    parser.add_argument("--seed", type=at_least(0), default=0, help="another seed is other damage")
    parser.add_argument("--only", metavar="TARGET:NUMBER", help="one case, with all it says")
    parser.add_argument("--output", type=Path, help="folder for fuzz.json and fuzz.md")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = chosen(args.kind, args.count)
    if args.only:
        target, _, number = args.only.partition(":")
        cases = [(target, int(number))]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if args.only:
            signal.signal(signal.SIGPROF, _stop)
            print(json.dumps(run_case(Originals(Path(folder)), *cases[0], args.seed), indent=1))
            return 0
        found = fuzz(cases, args.seed, Path(folder))
    print(table(found))
    if args.output:
        command = shlex.join(["python", "tools/fuzz.py", *arguments])
        _write(args.output, command, found, time.monotonic() - began)
    return int(any(row["failures"] for row in found.values()))


def _write(folder: Path, command: str, found: dict[str, dict[str, Any]], seconds: float) -> None:
    content = {"command": command, "versions": versions(), "seconds": round(seconds), "targets": found}
    limits = f"{SECONDS} s of a processor and {MEMORY >> 30} GiB a case"
    parts = ["# Damaged files", fenced(command), f"Limits: {limits}. {seconds:.0f} s in all.", table(found).strip()]
    write_atomically(folder / "fuzz.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(folder / "fuzz.md", ("\n\n".join(parts) + "\n").encode())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"fuzz.py: error: {error}", file=sys.stderr)
        sys.exit(2)
