"""The detection tables of He et al. 2015 as commands.

    frcnn reproduce table7 --scale mini --data BCCD --dataset.val test
    frcnn reproduce table8 --scale mini --data COCO_TINY
    frcnn reproduce table7 --data VOC0712
    frcnn reproduce table8 --data COCO
    frcnn reproduce --list

table7: VGG-16 against ResNet on PASCAL VOC's metric; table8: on COCO's; both followed by box refinement, context,
multi-scale testing and an ensemble. `full` trains the configs of configs/paper/ as the paper does, on GPUs for days;
`mini` runs the same code on narrow nets in minutes. What is done is not done again. --list names every table and figure
of the paper with the command that makes it.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from detection.cli.arguments import Parser, at_least
from detection.config.shipped import FOLDER
from detection.errors import InputError

DESCRIPTION = (
    "A detection table of the ResNet paper, from training to the page; any setting of `frcnn train` may follow"
)
CONFIGS = FOLDER / "paper"
TABLES = ("table7", "table8")


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn reproduce", DESCRIPTION)
    parser.add_argument("table", choices=TABLES, nargs="?")
    parser.add_argument(
        "--list",
        action="store_true",
        help="every table and figure of the paper: command, hours and hardware at full scale",
    )
    parser.add_argument("--scale", choices=["full", "mini"], default="full", help="the paper's, or minutes on a CPU")
    parser.add_argument("--output", type=Path, help="folder of the runs; default runs/TABLE_SCALE")
    parser.add_argument("--results", type=Path, help="folder of the table; default results/TABLE_SCALE")
    parser.add_argument(
        "--resamples", type=at_least(0), default=1000, help="bootstrap resamples behind the intervals; 0: no intervals"
    )
    args, settings = parser.parse_known_args(arguments)
    if args.list:
        if arguments != ["--list"]:
            raise InputError("--list: lists everything and takes nothing else")
        return _list()
    if args.table is None:
        parser.error(f"which table? one of {', '.join(TABLES)}; --list names every table and figure")

    from detection.engine.provenance import versions
    from detection.evaluation.compare_pages import Pages, terminal_text
    from detection.evaluation.paper_tables import paper_table
    from detection.experiments.reproduction import METRICS, PAPER, reproduce, to_json
    from detection.files.atomic import write_atomically

    name = f"{args.table}_{args.scale}"
    output, results = args.output or Path("runs") / name, args.results or Path("results") / name
    found = reproduce(args.table, args.scale, CONFIGS, settings, output, _say, args.resamples)
    command = shlex.join(["frcnn", "reproduce", *arguments])
    notes = [_cost_note(found.slower), _machine_note(versions())]
    pages = Pages(Path(found.data).name, command, notes, paper_table(PAPER[args.table], METRICS[args.table]))
    content = {"command": command, "versions": versions(), **to_json(found)}
    write_atomically(results / f"{args.table}.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(results / f"{args.table}.md", pages.markdown(found.comparison).encode())
    write_atomically(results / f"{args.table}.html", pages.html(found.comparison).encode())
    print(f"\n{terminal_text(found.comparison)}\n\n{notes[0]}\n{results / args.table}.md, .json, .html")
    return 0


def _list() -> int:
    from detection.experiments.catalogue import HARDWARE, PUBLISHED

    for each in PUBLISHED:
        hours = each.hours()
        cost = [f"about {hours:.0f} h" if hours >= 1 else "under 1 h" if hours else "trains nothing"]
        cost += [f"after {each.needs}"] if each.needs else []
        print(f"{each.name:8} {each.shows}" + (f" ({', '.join(cost)})" if each.command else ""))
        for line in filter(None, (each.command, each.note)):
            print(f"         {line}")
    print(f"\n{HARDWARE}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _cost_note(slower: dict[str, float]) -> str:
    parts = [f"{name} {ratio:.1f}" for name, ratio in slower.items() if ratio != 1]
    return f"Time an image, as a multiple of the plain ResNet's: {', '.join(parts)}."


def _machine_note(found: dict[str, str]) -> str:
    return (
        f"Measured with torch {found['torch']} on {found['device']}, {found['threads']} threads; one training run each."
    )
