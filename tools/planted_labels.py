"""How many of the labels that `frcnn report` doubts are really wrong? Errors are planted in a dataset to count them.

    python tools/planted_labels.py --data BCCD --runs runs/planted -- --config configs/bccd.yaml --model.weights FILE

Writes a copy of the dataset in which a seeded share of the objects of every split is dropped, moved by half its size or
given another class, trains a detector on its training split (the options after `--` are those of `frcnn train`), and
holds the suspects of another split, on which nothing was trained or chosen, against what was planted. Labels that were
wrong before count as false suspects. The training resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detection.cli.arguments import Parser, at_least, share
from detection.cli.main import main as frcnn
from detection.experiments.report import Report
from detection.geometry.arrays import iou

KINDS = ("dropped", "moved", "class")
FIRST = 50
"""Suspects that a person looks at in some minutes."""


@dataclass(frozen=True)
class Planted:
    """An object whose label was spoiled. box: x1 y1 x2 y2 in pixels as it was; annotation: id, which a dropped one has
    no more."""

    kind: str
    image: int
    annotation: int
    box: tuple[float, float, float, float]


def spoil(content: dict[str, Any], rate: float, rng: np.random.Generator) -> list[Planted]:
    """Spoil a share of the annotations of a COCO file in place, the kinds in turn."""
    annotations, categories = content["annotations"], [c["id"] for c in content["categories"]]
    chosen = rng.permutation(len(annotations))[: round(rate * len(annotations))]
    planted = []
    for number, row in enumerate(chosen.tolist()):
        annotation, kind = annotations[row], KINDS[number % len(KINDS)]
        x, y, width, height = annotation["bbox"]
        planted.append(Planted(kind, annotation["image_id"], annotation["id"], (x, y, x + width, y + height)))
        if kind == "moved":
            across, down = rng.choice([-0.5, 0.5], 2)
            annotation["bbox"] = [x + across * width, y + down * height, width, height]
        elif kind == "class":
            others = [each for each in categories if each != annotation["category_id"]]
            annotation["category_id"] = int(rng.choice(others))
    dropped = {each.annotation for each in planted if each.kind == "dropped"}
    content["annotations"] = [each for each in annotations if each["id"] not in dropped]
    return planted


def points_to(suspect: dict[str, Any], planted: Planted) -> bool:
    """Whether a person who looks at this suspect sees what was planted: it doubts the label, or it shows the object
    where it was."""
    if suspect["image_id"] != planted.image:
        return False
    if planted.kind != "dropped" and suspect["of"] == planted.annotation:
        return True
    x, y, width, height = suspect["bbox"]
    corners = np.array([[x, y, x + width, y + height]])
    return suspect["of"] is None and float(iou(corners, np.array([planted.box]))[0]) >= 0.5


def main(arguments: list[str]) -> int:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    own, training = arguments[:at], arguments[at + 1 :]
    args = _parser().parse_args(own)
    copy, planted = _copy(args)
    run = args.runs / "run"
    words = ["train", f"--data={copy}", f"--output={run}", *training]
    if frcnn([*words, "--evaluate.report=false", *(["--resume"] if (run / "last.pt").exists() else [])]):
        return 2
    folder = args.runs / "report"
    if frcnn(["report", str(run), f"--split={args.split}", f"--output={folder}"]):
        return 2
    suspects = json.loads((folder / "suspects.json").read_text())["annotations"]
    report = _report(suspects, planted, ["python", "tools/planted_labels.py", *arguments], args)
    for file, what in report.write(args.results).items():
        print(f"{file}: {what}")
    return 0


def _copy(args: argparse.Namespace) -> tuple[Path, list[Planted]]:
    """The dataset with planted errors as COCO, and those of the split that is looked at. Made once."""
    copy, notes = args.runs / "data", args.runs / "planted.json"
    if not notes.exists():
        if not copy.exists() and frcnn(["convert", f"--data={args.data}", "--to=coco", str(copy)]):
            raise SystemExit(2)
        rng, noted = np.random.default_rng(args.seed), {}
        for file in sorted((copy / "annotations").glob("*.json")):
            content = json.loads(file.read_text())
            noted[file.stem.removeprefix("instances_")] = [vars(each) for each in spoil(content, args.share, rng)]
            file.write_text(json.dumps(content))
        notes.write_text(json.dumps(noted))
    return copy, [Planted(**each) for each in json.loads(notes.read_text())[args.split]]


def _report(suspects: list[dict[str, Any]], planted: list[Planted], command: list[str], args: Any) -> Report:
    right = [any(points_to(suspect, each) for each in planted) for suspect in suspects]
    rows = []
    for kind in (*KINDS, "all"):
        wanted = [each for each in planted if kind in (each.kind, "all")]
        first, listed = (
            sum(any(points_to(suspect, each) for suspect in shown) for each in wanted)
            for shown in (suspects[:FIRST], suspects)
        )
        rows.append((kind, len(wanted), first, listed))
    precision = sum(right[:FIRST]) / max(min(FIRST, len(right)), 1)
    numbers = {
        "precision_of_the_first": precision,
        "first": FIRST,
        "suspects": len(suspects),
        "right": right,
        "rows": [dict(zip(("kind", "planted", "among_the_first", "in_the_list"), row)) for row in rows],
        "seed": args.seed,
    }
    table = [
        f"| planted | labels | among the first {FIRST} suspects | in the whole list |",
        "| --- | ---: | ---: | ---: |",
    ]
    table += [f"| {' | '.join(map(str, row))} |" for row in rows]
    text = (
        f"{args.share:.0%} of the labels of each split were spoiled. Of the first {FIRST} suspects of the split "
        f"`{args.split}`, {sum(right[:FIRST])} point to a planted error ({precision:.0%}); the list has "
        f"{len(suspects)}.\n\n" + "\n".join(table)
    )
    return Report("planted_labels", "Planted label errors found again", command, numbers, text, {})


def _parser() -> Parser:
    parser = Parser("planted_labels.py", "Plant label errors, train, and see how many the report finds.")
    parser.add_argument("--data", required=True, help="dataset with a training split and another")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the copy, the run and its report")
    parser.add_argument("--split", default="test", help="split whose labels are looked at")
    parser.add_argument("--share", type=share, default=0.05, help="share of the labels that are spoiled")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of what is spoiled")
    parser.add_argument("--results", type=Path, default=Path("results/planted_labels"), help="folder of the table")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
