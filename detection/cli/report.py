"""`frcnn report`: what a detector gets wrong and why, as one page."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path

from detection.cli.arguments import Parser, at_least
from detection.counted import counted
from detection.errors import InputError

DESCRIPTION = """Look into a detector on a split of its data: AP with intervals, the best score threshold of each class,
kinds of errors, why each object was missed (anchors, proposals, classes, boxes, suppression, threshold) and what would
keep it, the worst images, labels to look at again. Writes report.html, one file that needs no network, report.json and
suspects.json."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)

    from detection import parallel
    from detection.api.load import as_loaded
    from detection.cli.evaluate import _tell_of_trained_images
    from detection.loading.datasets import load_split
    from detection.outputs import claim_output, refuse_overwriting
    from detection.report.analysis import analyse
    from detection.report.files import WRITTEN, write_report
    from detection.report.history import read_history
    from detection.report.page import Subject, terminal
    from detection.report.traced import run_traced

    file = args.run / "best.pt" if args.run.is_dir() else args.run
    loaded = as_loaded(file, str(parallel.choose_device(args.device)))
    detector = loaded.serving.at(args.size)
    config = replace(loaded.config, data=args.data or loaded.config.data)
    dataset = replace(config.dataset, format=args.format or ("auto" if args.data else config.dataset.format))
    dataset = replace(dataset, images=args.images or (None if args.data else dataset.images))
    config = replace(config, dataset=replace(dataset, invalid=args.invalid or dataset.invalid))
    split = args.split or config.dataset.val or "val"
    index, notes = load_split(config, split, loaded.class_names)
    if not len(index):
        raise InputError(f"{config.data}: the split {split!r} has no images")
    output = args.output or file.parent / "report"
    claim_output(output)
    refuse_overwriting((output / name for name in WRITTEN), [file])
    for note in [] if args.json else notes:
        print(note)
    if not args.json:
        _tell_of_trained_images([file], index)
    traced = run_traced(detector, index, config, args.workers)
    analysis, history = analyse(index, traced), read_history(file.parent)
    subject = Subject(
        f"{file.parent.name or file.name} on {Path(str(config.data)).name}, {split}",
        f"{counted(len(index), 'image')}, {counted(analysis.result.objects, 'object')}, "
        f"{counted(len(index.class_names), 'class')}; {file}",
        shlex.join(["frcnn", "report", *arguments]),
        detector.grey_bits,
    )
    written = write_report(output, analysis, history, subject)
    if args.json:
        print(json.dumps(json.loads((output / "report.json").read_text()), indent=1))
        return 0
    print(terminal(analysis, history))
    print()
    for path, what in written.items():
        print(f"{path}: {what}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("frcnn report", DESCRIPTION)
    parser.add_argument("run", type=Path, help="folder that `frcnn train` wrote, or a checkpoint")
    parser.add_argument("--data", help="dataset: a folder or annotation file; default that of the run")
    parser.add_argument("--split", help="split of it; default the run's validation split")
    parser.add_argument("--format", choices=["auto", "coco", "voc", "yolo"], help="format of the annotations")
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    parser.add_argument("--invalid", choices=["error", "skip"], help="bad images and boxes: stop, or leave out")
    parser.add_argument("--size", type=at_least(32), help="input size in pixels; default as in training")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--workers", type=at_least(0), help="processes that load images; default by cores and device")
    parser.add_argument("--output", type=Path, help="folder for the report; default RUN/report")
    parser.add_argument("--json", action="store_true", help="print report.json in place of the summary")
    return parser
