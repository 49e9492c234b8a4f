"""`frcnn report`: what a detector gets wrong and why, as one page."""

from __future__ import annotations

import shlex
from pathlib import Path

from detection.cli.answer import add_json, answering
from detection.cli.arguments import Parser, add_format, at_least

DESCRIPTION = """Look into a detector on a split of its data: AP with intervals, the best score threshold of each class,
kinds of errors, why each object was missed (anchors, proposals, classes, boxes, suppression, threshold) and what would
keep it, the worst images, labels to look at again. Writes report.html, one file that needs no network, report.json and
suspects.json."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)

    from detection import parallel
    from detection.cli.testing import tell_of_trained_images
    from detection.report.run import Choice, report_on

    file = args.run / "best.pt" if args.run.is_dir() else args.run
    choice = Choice(args.data, args.split, args.format, args.images, args.invalid, args.size, args.slices)
    device = parallel.choose_device(args.device)
    words = shlex.join(["frcnn", "report", *arguments])
    with answering(args.json) as answer:
        found = report_on(file, choice, args.output or file.parent / "report", words, device, args.workers)
        for note in found.notes:
            print(note)
        tell_of_trained_images([file], found.analysis.index)
        print(f"{found.text}\n")
        for path, what in found.files.items():
            print(f"{path}: {what}")
        answer(found.numbers)
    return 0


def _parser() -> Parser:
    parser = Parser("frcnn report", DESCRIPTION)
    parser.add_argument("run", type=Path, help="folder that `frcnn train` wrote, or a checkpoint")
    parser.add_argument("--data", help="dataset: a folder or annotation file; default that of the run")
    parser.add_argument("--split", help="split of it; default the run's validation split")
    add_format(parser, None)
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    parser.add_argument(
        "--invalid",
        "--dataset.invalid",  # as messages say it, which training shares
        choices=["error", "skip"],
        help="invalid images and boxes: stop, or leave them out",
    )
    parser.add_argument("--size", type=at_least(32), help="input size in pixels; default as in training")
    slices = "CSV table, first the image's name, then columns that group images (camera, site): AP of each group"
    parser.add_argument("--slices", type=Path, metavar="FILE", help=slices)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--workers", type=at_least(0), help="processes that load images; default by cores and device")
    parser.add_argument("--output", type=Path, help="folder for the report; default RUN/report")
    add_json(parser)
    return parser
