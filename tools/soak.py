"""Train and predict for long and watch what the process holds: memory and open files must not grow.

    python tools/soak.py --iterations 5000 --images 5000 --results results/robustness

The commands run as processes of their own, and /proc tells what they hold, so this needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tiny_run import tiny_options

from detection.data.shapes import write_shapes
from detection.files.atomic import write_atomically

CHANGES = {
    "input__workers": None,
    "train__iterations": None,
    "train__lr": "0.005",
    "train__clip": "5",
    "train__warmup": "100",
    "train__evaluate_every": "250",
}
"""Of the tiny run's settings: a training of thousands of iterations stays sound."""
WARM = 0.2
"""Share of the time after which caches should be full: growth is counted from there."""
FLAT = 0.05
"""Growth of memory that counts as none."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=5000)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--results", type=Path, help="folder for soak.json, soak.md and soak.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = soak(Path(name), args.iterations, args.images, args.every)
    print(to_markdown(report))
    if args.results:
        write_atomically(args.results / "soak.json", json.dumps(report).encode())
        write_atomically(args.results / "soak.md", to_markdown(report).encode())
        write_plot(report, args.results / "soak.png")
    return 0 if all(part["flat"] for part in report["parts"].values()) else 1


def soak(folder: Path, iterations: int, images: int, every: float) -> dict[str, Any]:
    data = write_shapes(folder / "shapes", train=40, val=8, size=96)
    many = folder / "images"
    many.mkdir()
    pictures = sorted((data / "train").iterdir())
    for i in range(images):
        os.link(pictures[i % len(pictures)], many / f"{i:05}{pictures[0].suffix}")
    options = tiny_options(**CHANGES)
    options += [f"--data={data}", f"--output={folder / 'run'}", f"--train.iterations={iterations}"]
    predict = [str(many), f"--checkpoint={folder / 'run/best.pt'}", f"--output={folder / 'out'}", "--score=0.05"]
    parts = {
        f"{iterations} iterations of training": watch(["train", *options], every),
        f"{images} predictions": watch(["predict", *predict, "--device=cpu"], every),
    }
    command = f"python tools/soak.py --iterations {iterations} --images {images}"
    return {"command": command, "torch": str(torch.__version__), "parts": parts}


def watch(arguments: list[str], every: float) -> dict[str, Any]:
    """Run a command to its end; seconds, resident MiB and open files of it and its children at every look, and whether
    they stayed flat."""
    code = "import sys; from detection.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)
    began, looks = time.monotonic(), list[list[float]]()
    while process.poll() is None:
        found = [held for pid in family(process.pid) if (held := holds(pid)) is not None]
        if found:
            memory, files, main_memory = sum(m for m, _ in found), sum(f for _, f in found), found[0][0]
            looks.append(
                [round(time.monotonic() - began, 1), round(main_memory, 1), round(memory, 1), files, len(found)]
            )
        time.sleep(every)
    assert process.returncode == 0, f"{arguments[0]} failed: status {process.returncode}"
    return judged(looks)


def judged(looks: list[list[float]]) -> dict[str, Any]:
    """What a command held at first and at last. Files are medians: while an evaluation runs there are more workers."""
    seconds = looks[-1][0]
    late = [look for look in looks if look[0] >= WARM * seconds]
    tenth = max(len(late) // 10, 1)
    first, last = late[:tenth], late[-tenth:]
    memory = [statistics.mean(look[1] for look in part) for part in (first, last)]
    handles = [int(statistics.median(look[3] for look in part)) for part in (first, last)]
    growth = memory[1] / memory[0] - 1
    return {
        "seconds": seconds,
        "first_mib": round(memory[0], 1),
        "last_mib": round(memory[1], 1),
        "most_mib": max(look[1] for look in late),
        "growth": round(growth, 4),
        "files_first": handles[0],
        "files_last": handles[1],
        "flat": growth <= FLAT and handles[1] <= handles[0],
        "looks": looks,
    }


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in family(int(child)))]


def holds(pid: int) -> tuple[float, int] | None:
    """Resident MiB and open files of a process; None where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, IndexError):
        return None


def to_markdown(report: dict[str, Any]) -> str:
    lines = [
        "# Memory and open files of long runs",
        "",
        f"`{report['command']}`, torch {report['torch']}, CPU",
        "",
        "Resident memory of the main process: mean over a tenth of the looks after the first fifth of the time, and",
        "over the last tenth. Open files: of it and its loader workers, medians of the same two parts.",
        "",
        "| | minutes | MiB at first | MiB at last | growth | files at first | files at last | flat |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, part in report["parts"].items():
        lines.append(
            f"| {name} | {part['seconds'] / 60:.1f} | {part['first_mib']:.0f} | {part['last_mib']:.0f} "
            f"| {100 * part['growth']:.1f} % | {part['files_first']} | {part['files_last']} "
            f"| {'yes' if part['flat'] else 'NO'} |"
        )
    return "\n".join([*lines, ""])


def write_plot(report: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(report["parts"]), figsize=(10, 3), layout="constrained")
    for axis, (name, part) in zip(axes, report["parts"].items()):
        axis.plot([look[0] / 60 for look in part["looks"]], [look[1] for look in part["looks"]])
        axis.set(title=name, xlabel="minutes", ylabel="resident MiB", ylim=(0, None))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
