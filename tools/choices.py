"""What each automatic choice brings, and how the toolkit compares with torchvision in the same time.

    python tools/choices.py choices --data bccd=BCCD --data shapes=shapes --weights resnet18.pt --time 20m
    python tools/choices.py against --data bccd=BCCD --weights resnet18.pt --time 20m --seeds 3

`choices` trains as `frcnn train --data PATH` does, then again with each single choice replaced by the default of a
config, and with settings that are not chosen. `against` trains torchvision's FasterRCNN with its defaults beside, from
the same weights, on images of the same size, turn by turn. Each run takes --time, validation at its end included. Runs
are kept in --output, resumed where they were interrupted and never repeated; the tables in --results are written after
each. --size 160 makes all of it several times as small.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from detection.automatic.configure import fit_to_data
from detection.cli.arguments import Parser, at_least
from detection.config.command_line import CommandLine
from detection.config.duration import seconds_of
from detection.config.schema import Config
from detection.errors import InputError
from detection.experiments.report import Report
from detection.files.atomic import write_atomically
from detection.markdown import markdown_table

ONCE = ["--train.evaluate_every=1000000", "--evaluate.report=false", "--train.pictures=0"]
"""One evaluation, at the end."""

OFF = {
    "as chosen": [],
    "anchors of a config": ["--model.anchors.sizes=[[32],[64],[128],[256],[512]]", "--model.anchors.ratios=[.5,1,2]"],
    "512 regions an image": ["--model.roi.batch_per_image=512"],
    "rate drops in steps": ["--train.schedule=step"],
    "no warm-up": ["--train.warmup=0"],
    "no limit of gradients": ["--train.clip=null"],
    "half the input size": ["--size={half}"],
}
"""What is chosen, each replaced once."""

OFFERED = {
    "averaged weights": ["--train.ema=0.99"],
    "256 regions an image": ["--model.roi.batch_per_image=256"],
    "no mirrored images": ["--input.augment=[]"],
    "AdamW": ["--train.optimizer=adamw"],
}
"""What is not chosen."""


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)
    seconds_of(args.time, "--time")
    command = ["python", "tools/choices.py", *arguments]
    for each in args.data:
        name, equals, path = each.partition("=")
        if not equals:
            raise InputError(f"--data {each}: give NAME=PATH, such as bccd=data/bccd")
        work = _choices if args.work == "choices" else _against
        work(name, path, args, command)
    return 0


def _parser() -> Parser:
    parser = Parser("choices.py", "What automatic choices bring, and the comparison with torchvision.")
    parser.add_argument("work", choices=["choices", "against"])
    parser.add_argument("--data", action="append", required=True, metavar="NAME=PATH", help="dataset; several times")
    parser.add_argument("--weights", required=True, help="backbone weights that every run begins with")
    parser.add_argument("--time", default="20m", help="of each run; a minute or two shows that it works")
    parser.add_argument("--size", type=at_least(32), help="shorter side of the input, pixels; default as chosen")
    parser.add_argument("--seeds", type=at_least(1), default=1)
    parser.add_argument("--only", action="append", help="these rows alone (choices); several times")
    parser.add_argument("--output", type=Path, default=Path("runs/choices"))
    parser.add_argument("--results", type=Path, default=Path("results/choices"))
    return parser


def _choices(name: str, path: str, args: Any, command: list[str]) -> None:
    sized = _sized(args)
    chosen = fit_to_data(CommandLine.read([f"--data={path}", "--device=cpu", *sized], Config)).config
    half = chosen.input.test_short_side // 2
    rows = {row: options for row, options in {**OFF, **OFFERED}.items() if not args.only or row in args.only}
    found: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
    for seed in range(args.seeds):
        for row, options in rows.items():
            words = [option.format(half=half) for option in options]
            folder = _kept(args, name) / row.replace(" ", "_") / str(seed)
            common = [
                f"--data={path}",
                f"--weights={args.weights}",
                f"--time={args.time}",
                f"--seed={seed}",
                *ONCE,
                *sized,
            ]
            found[row].append(_run(folder, ["-m", "detection", "train", *common, *words]))
            title = f"What each automatic choice brings: {name}, {args.time} a run"
            _write(f"choices_{name}", title, found, args, command)


def _against(name: str, path: str, args: Any, command: list[str]) -> None:
    sized = _sized(args)
    chosen = fit_to_data(CommandLine.read([f"--data={path}", "--device=cpu", *sized], Config)).config
    sides, train = chosen.input, chosen.train
    plain = ONCE[:1] + [f"--{key}={value}".replace(" ", "") for key, value in _plain(chosen).items()]
    sides_are = f"{sides.test_short_side} and at most {sides.long_side} pixels, batches of {train.batch}"
    found: dict[str, list[dict[str, float]]] = {"frcnn train --data": [], "torchvision": []}
    kept = _kept(args, name)
    for seed in range(args.seeds):
        common = [f"--data={path}", f"--time={args.time}", f"--seed={seed}"]
        own = ["-m", "detection", "train", *common, *sized, *ONCE, f"--weights={args.weights}"]
        peer = [str(Path(__file__).with_name("compare_torchvision.py")), *common, *plain]
        beside = kept / "torchvision" / str(seed)
        peer += [f"--model.weights={args.weights}", f"--output={beside}"]
        found["frcnn train --data"].append(_run(kept / "as_chosen" / str(seed), own))
        found["torchvision"].append(_run(beside, peer, whole=True))
        title = f"Against torchvision's FasterRCNN: {name}, {args.time} a run, shorter side {sides_are}"
        _write(f"against_{name}", title, found, args, command)


def _kept(args: Any, name: str) -> Path:
    """Where runs on a dataset are kept that took this time at this size: they are no others' results."""
    output: Path = args.output
    return output / f"{name}_{args.time}_{args.size or 'as_chosen'}"


def _sized(args: Any) -> list[str]:
    return [] if args.size is None else [f"--size={args.size}"]


def _plain(chosen: Config) -> dict[str, object]:
    """What torchvision is trained with: its reference recipe at the size and batch that are chosen."""
    return {
        "device": "cpu",
        "model.backbone": chosen.model.backbone,
        "model.freeze": 2,
        "dataset.invalid": "skip",
        "input.train_short_sides": chosen.input.train_short_sides,
        "input.test_short_side": chosen.input.test_short_side,
        "input.long_side": chosen.input.long_side,
        "train.batch": chosen.train.batch,
        "train.lr": 0.02 / 16 * chosen.train.batch,
        "train.warmup": 500,
    }


def _run(folder: Path, words: list[str], whole: bool = False) -> dict[str, float]:
    """Train into `folder` unless that is done; whole: it cannot be resumed and begins anew."""
    numbers, timing = folder / "evaluation.json", folder / "seconds.json"
    if not numbers.exists():
        begun = (folder / "config.yaml").exists() and not whole
        more = [f"--resume={folder}"] if begun else [] if whole else [f"--output={folder}"]
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        log = folder.with_suffix(".log")
        with log.open("w") as file:
            done = subprocess.run([sys.executable, *(words[:3] if begun else words), *more], stdout=file, stderr=file)
        if done.returncode:
            raise InputError(f"{log}: a run ended with status {done.returncode}; its last lines say why")
        write_atomically(timing, json.dumps(time.monotonic() - began).encode())
    stats = json.loads(numbers.read_text())["stats"]
    with (folder / "results.csv").open() as table:
        iterations = [int(row["iteration"]) for row in csv.DictReader(table)][-1]
    seconds = json.loads(timing.read_text()) if timing.exists() else float("nan")
    return {"AP": stats["AP"], "AP50": stats["AP50"], "iterations": iterations, "seconds": seconds}


def _write(
    name: str, title: str, found: dict[str, list[dict[str, float]]], args: Any, command: list[str]
) -> dict[Path, str]:
    rows = []
    for row, runs in found.items():
        if runs:
            aps = [run["AP"] for run in runs]
            spread = f"{min(aps):.3f} to {max(aps):.3f}" if len(aps) > 1 else ""
            means = [statistics.fmean(run[key] for run in runs) for key in ("AP", "AP50", "iterations")]
            rows.append([row, f"{means[0]:.3f}", spread, f"{means[1]:.3f}", f"{means[2]:.0f}", len(runs)])
    text = markdown_table(["run", "AP", "of each seed", "AP50", "iterations", "seeds"], rows, "lrrrrr")
    return Report(name, title, command, {"time": args.time, "runs": found}, text, {}).write(args.results)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(f"choices.py: error: {error}")
