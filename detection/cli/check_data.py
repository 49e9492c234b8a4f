"""`frcnn check-data`: what is wrong with a dataset, how to fix it, and a fixed copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from detection.cli.arguments import Parser, add_format, refuse_unused
from detection.cli.doubted import with_doubted_labels
from detection.errors import InputError

if TYPE_CHECKING:
    import argparse

    from detection.data.locate import LocatedDataset
    from detection.doctor.examine import Examination

DESCRIPTION = """Examine every split of a dataset: broken files, invalid boxes, doubled or doubtful annotations,
classes, images shared between splits, and the settings that fit. Nothing of the dataset is touched; --fix OUT writes a
fixed copy with a log of every change. Exit status: 0 nothing to fix (notes are no fault), 1 warnings, 2 errors that
training refuses; with --fix that of the copy."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.model is None:
        refuse_unused(parser, args, "device", "without --model RUN")

    from detection.config.schema import Config
    from detection.data.locate import locate
    from detection.doctor.examine import examine
    from detection.doctor.mend import mend
    from detection.doctor.pages import text
    from detection.files.outputs import claim_output
    from detection.loading.datasets import find_data

    config = Config(data=args.data)
    config.dataset.format, config.dataset.images = args.format, args.images
    source = find_data(config)
    _refuse_overwriting(source, args)
    if args.output:
        claim_output(args.output)
    examination = examine(source, args.quick)
    if args.model:
        examination = with_doubted_labels(examination, config, args.model, args.device)
    print(text(examination))
    if args.json:
        _write_json(args.json, examination)
    if args.output:
        _write_all(args.output, examination)
    if args.fix is None:
        return examination.status
    changes = mend(examination, args.fix)
    print(f"\n{changes} changes, written to {args.fix / 'changes.jsonl'}; the copy:\n")
    copy = examine(locate(args.fix), args.quick)
    print(text(copy))
    return copy.status


def _parser() -> Parser:
    parser = Parser("frcnn check-data", DESCRIPTION)
    parser.add_argument("--data", required=True, help="dataset: a folder or annotation file, or `shapes`")
    add_format(parser)
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    parser.add_argument("--quick", action="store_true", help="read image headers only: no broken pixels, no copies")
    model = "folder of a trained detector, or its checkpoint: also list the labels that it contradicts"
    parser.add_argument("--model", type=Path, metavar="RUN", help=model)
    parser.add_argument("--device", default="auto", help="where the model runs: auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all findings as JSON")
    parser.add_argument("--output", type=Path, help="folder for check.json, check.html, histograms.png and worst.png")
    parser.add_argument(
        "--fix", type=Path, metavar="OUT", help="new folder for a fixed copy, with a log of the changes"
    )
    return parser


def _refuse_overwriting(source: LocatedDataset, args: argparse.Namespace) -> None:
    """Whatever file of the dataset the result would replace."""
    root = source.root.resolve()
    for file in (args.json,) if args.json else ():
        if file.exists() and (file.resolve() == root or root in file.resolve().parents):
            raise InputError(f"{file}: is a file of the dataset and would be overwritten; write elsewhere")


def _write_json(path: Path, examination: Examination) -> None:
    from detection.doctor.pages import to_json
    from detection.files.atomic import write_atomically

    write_atomically(path, (json.dumps(to_json(examination), indent=1) + "\n").encode())


def _write_all(folder: Path, examination: Examination) -> None:
    from detection.doctor.pages import html
    from detection.doctor.plots import histograms, worst
    from detection.files.atomic import write_atomically

    pictures = {"histograms.png": histograms(examination)}
    shown = worst(examination)
    if shown is not None:
        pictures = {"worst.png": shown, **pictures}
    _write_json(folder / "check.json", examination)
    for name, content in pictures.items():
        write_atomically(folder / name, content)
    write_atomically(folder / "check.html", html(examination, pictures["histograms.png"]).encode())
    print(f"\nwrote check.json, check.html, {' and '.join(pictures)} into {folder}")
