"""`frcnn compare`: one table of several runs, with intervals and the paper's numbers."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from detection.cli.answer import add_json, answering
from detection.cli.arguments import Parser, add_format, at_least, refuse_unused
from detection.errors import InputError

DESCRIPTION = """AP of runs and of files of predictions on one dataset, side by side: differences to the first,
bootstrap intervals, AP of each class, weights, multiply-adds and time. Writes compare.json, compare.md,
compare.html."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.resamples == 0:
        refuse_unused(parser, args, "seed confidence", "without --resamples, which make the intervals")
    if args.split and args.data is None and not any(Path(run).is_dir() for run in args.runs):
        raise InputError("--split: says which part of --data PATH; give that too")

    from detection.files.outputs import refuse_overwriting

    written = [args.output / f"compare.{kind}" for kind in ("json", "md", "html")]
    refuse_overwriting(written, [Path(run) for run in args.runs])
    with answering(args.json) as answer:
        answer(_compare(args, arguments))
    return 0


def _compare(args: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """The table, printed and written; what compare.json holds."""
    from detection import parallel
    from detection.evaluation.compare import compare
    from detection.evaluation.compare_pages import Pages, terminal_text
    from detection.evaluation.paper_tables import paper_table
    from detection.experiments.comparison import DataChoice, gather
    from detection.report.side_by_side import charts_of, sections, side_by_side

    paper = None if args.paper is None else paper_table(args.paper, args.metric)
    device = parallel.choose_device(args.device)
    choice = DataChoice(args.data, args.split, args.format, args.images)
    found = gather(args.runs, choice, args.latency or 0, device)
    comparison = compare(found.index, found.contestants, args.metric, args.resamples, args.seed, args.confidence / 100)
    pages = Pages(found.dataset, shlex.join(["frcnn", "compare", *arguments]), found.notes, paper)
    print(f"{terminal_text(comparison)}\n")
    for note in found.notes:
        print(note)
    first, *others = found.contestants
    pairs = [side_by_side(found.index, (first.name, own.name), (first.results, own.results)) for own in others]
    content = {"command": pages.command, "dataset": found.dataset, "notes": found.notes, **comparison.to_json()}
    content["objects_found"] = [pair.to_json() for pair in pairs]
    html = pages.html(comparison, charts_of(comparison), sections(pairs))
    _write(args.output, content, pages.markdown(comparison), html)
    return content


def _parser() -> Parser:
    parser = Parser("frcnn compare", DESCRIPTION)
    parser.add_argument("runs", nargs="+", help="folders that `frcnn train` wrote, or JSON in COCO's result format")
    parser.add_argument("--data", help="dataset: a folder or annotation file; default that of the runs")
    parser.add_argument("--split", help="split of it; default the runs' validation split")
    add_format(parser, None)
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    parser.add_argument("--metric", choices=["coco", "voc"], default="coco", help="COCO's AP, or VOC's two")
    parser.add_argument("--paper", type=int, help="also the rows of this table of the ResNet paper, 7 to 12")
    parser.add_argument(
        "--resamples", type=at_least(0), default=1000, help="bootstrap resamples behind the intervals; 0: no intervals"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the bootstrap")
    parser.add_argument("--confidence", type=_confidence, default=95.0, help="of the intervals, percent")
    parser.add_argument("--latency", type=at_least(1), metavar="N", help="measure the time of each run on N images")
    parser.add_argument("--device", default="auto", help="where the time is measured: auto, cpu, cuda or cuda:N")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder for JSON, Markdown and HTML")
    add_json(parser)
    return parser


def _confidence(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0 and 100")
    return value


def _write(folder: Path, content: dict[str, Any], markdown: str, html: str) -> None:
    from detection.files.atomic import write_atomically

    # Ready before the first is written, so that no failure leaves new numbers beside an old table.
    files = {
        folder / "compare.json": json.dumps(content, indent=1) + "\n",
        folder / "compare.md": markdown,
        folder / "compare.html": html,
    }
    for path, text in files.items():
        write_atomically(path, text.encode())
        print(path)
