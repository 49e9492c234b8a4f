"""The detection tables of He et al. 2015 as commands.

    python tools/reproduce.py table7 --scale mini --data BCCD --dataset.val test
    python tools/reproduce.py table8 --scale mini --data COCO_TINY
    python tools/reproduce.py table7 --data VOC0712
    python tools/reproduce.py table8 --data COCO

table7: VGG-16 against ResNet on PASCAL VOC's metric; table8: on COCO's; both followed by box refinement, context,
multi-scale testing and an ensemble. `full` trains the configs of configs/paper/ as the paper does, on GPUs for days;
`mini` runs the same code on narrow nets in minutes. What is done is not done again.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from detection.atomic import write_atomically
from detection.cli.arguments import Parser, at_least
from detection.engine.provenance import versions
from detection.engine.signals import Interrupted
from detection.errors import InputError
from detection.evaluate.compare_pages import Pages, terminal_text
from detection.evaluate.paper_tables import paper_table
from detection.experiments.reproduction import METRICS, PAPER, reproduce, to_json

CONFIGS = Path(__file__).parents[1] / "configs" / "paper"


def main(arguments: list[str]) -> int:
    parser = Parser("reproduce.py", "A detection table of the ResNet paper. Any setting of `frcnn train` may follow.")
    parser.add_argument("table", choices=list(METRICS))
    parser.add_argument("--scale", choices=["full", "mini"], default="full", help="the paper's, or minutes on a CPU")
    parser.add_argument("--output", type=Path, help="folder of the runs; default runs/TABLE_SCALE")
    parser.add_argument("--results", type=Path, help="folder of the table; default results/TABLE_SCALE")
    parser.add_argument("--resamples", type=at_least(0), default=1000, help="of the bootstrap; 0: no intervals")
    args, settings = parser.parse_known_args(arguments)
    name = f"{args.table}_{args.scale}"
    output, results = args.output or Path("runs") / name, args.results or Path("results") / name
    found = reproduce(args.table, args.scale, CONFIGS, settings, output, _say, args.resamples)
    command = shlex.join(["python", "tools/reproduce.py", *arguments])
    notes = [_cost_note(found.slower), _machine_note()]
    pages = Pages(Path(found.data).name, command, notes, paper_table(PAPER[args.table], METRICS[args.table]))
    content = {"command": command, "versions": versions(), **to_json(found)}
    write_atomically(results / f"{args.table}.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(results / f"{args.table}.md", pages.markdown(found.comparison).encode())
    write_atomically(results / f"{args.table}.html", pages.html(found.comparison).encode())
    print(f"\n{terminal_text(found.comparison)}\n\n{notes[0]}\n{results / args.table}.md, .json, .html")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _cost_note(slower: dict[str, float]) -> str:
    parts = [f"{name} {ratio:.1f}" for name, ratio in slower.items() if ratio != 1]
    return f"Time an image, as a multiple of the plain ResNet's: {', '.join(parts)}."


def _machine_note() -> str:
    found = versions()
    return (
        f"Measured with torch {found['torch']} on {found['device']}, {found['threads']} threads; one training run each."
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"reproduce.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stop:
        print(f"{stop}: saved; the same command resumes it")
        sys.exit(128 + stop.signal)
    except KeyboardInterrupt:
        sys.exit(130)
