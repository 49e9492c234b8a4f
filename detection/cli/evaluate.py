"""`frcnn evaluate`: a checkpoint on a dataset, or a file of predictions against one."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.cli.answer import Answer, add_json, answering
from detection.cli.arguments import Parser, add_format, at_least, refuse_unused
from detection.cli.testing import (
    add_running,
    add_testing,
    add_tiles,
    choose_tiles,
    improve,
    improves,
    in_tiles,
    limit_of,
    load_detectors,
    size_text,
    tell_of_compilation,
    tell_of_trained_images,
    with_data,
)
from detection.counted import counted
from detection.errors import InputError
from detection.progress import track

if TYPE_CHECKING:
    import numpy as np

    from detection.api.load import AnyDetector
    from detection.config.schema import Config
    from detection.data.index import AnnotationIndex
    from detection.evaluation.coco_ap import CocoResult
    from detection.evaluation.voc_ap import VocResult
    from detection.predict.detector import Detector
    from detection.training.validation import DetectorEvaluation

DESCRIPTION = """AP of a checkpoint, or of predictions in COCO's result format, on one split of a dataset. A checkpoint
brings its own dataset; --data names another one with the same classes. Several checkpoints are an ensemble, on the
first one's dataset."""

WRITTEN = ("predictions.json", "evaluation.json", "detections.png")

PICTURES = 8
"""Images in detections.png."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if (args.checkpoint is None) == (args.predictions is None):
        raise InputError("give either --checkpoint FILE or --predictions FILE with --data PATH")
    if args.metric == "voc":
        refuse_unused(parser, args, "backend max_detections", "on --metric voc")
    if args.predictions is not None:
        if improves(args):
            raise InputError("--predictions: improvements at test time need a model; give --checkpoint FILE instead")
        unused = "batch size tile overlap report device processes precision grey_bits compiled workers"
        refuse_unused(parser, args, unused, "on --predictions, which have no model")
    with answering(args.json) as answer:
        return _checkpoint(args, arguments, answer) if args.checkpoint else _predictions(args, answer)


def _parser() -> Parser:
    parser = Parser("frcnn evaluate", DESCRIPTION)
    add_testing(parser)
    add_tiles(parser)
    parser.add_argument("--predictions", type=Path, help="JSON in COCO's result format")
    parser.add_argument("--data", help="dataset: a folder or annotation file, or `shapes`")
    parser.add_argument("--split", help="split of it; default the validation split")
    add_format(parser, None)
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    parser.add_argument(
        "--invalid",
        "--dataset.invalid",  # as messages say it, which training shares
        choices=["error", "skip"],
        help="invalid images and boxes: stop, or leave them out",
    )
    parser.add_argument("--metric", choices=["coco", "voc"], default="coco", help="COCO's 12 numbers, or VOC's AP")
    parser.add_argument(
        "--backend",
        choices=["hotcoco", "pycocotools"],
        default="hotcoco",
        help="library that computes the COCO numbers",
    )
    parser.add_argument(
        "--batch", type=at_least(1), default=1, help="images per batch; padding changes results slightly"
    )
    parser.add_argument("--size", type=at_least(32), help="input size in pixels; default as in training")
    parser.add_argument(
        "--max-detections", type=at_least(11), help="detections per image and class that count; COCO counts 100"
    )
    add_running(parser)
    parser.add_argument("--workers", type=at_least(0), help="processes that load images; default by cores and device")
    parser.add_argument("--output", type=Path, help="folder for evaluation.json, and with a model for more")
    add_json(parser)
    parser.add_argument(
        "--no-report", dest="report", action="store_false", help="no report of what the detector gets wrong, and why"
    )
    return parser


def _predictions(args: argparse.Namespace, answer: Answer) -> int:
    from detection.config.schema import Config
    from detection.evaluation.prediction_files import read_predictions
    from detection.evaluation.report import to_json
    from detection.loading.datasets import find_data

    config = with_data(Config(), args)
    split = args.split
    source = find_data(config)
    if split is None:
        split = "val" if "val" in source.splits else next(iter(source.splits))
    index = source.read(split)
    if args.output:
        _claim(args)
    results, notes = read_predictions(args.predictions, index)
    for note in notes:
        print(note)
    try:
        scores, text = _scores(index, results, args)
    except InputError as error:
        raise InputError(f"{args.predictions}: {error}") from error
    print(text)
    answer(to_json(scores))
    if args.output:
        _write_scores(args.output, to_json(scores))
        print(f"\nwrote evaluation.json into {args.output}")
    return 0


def _checkpoint(args: argparse.Namespace, arguments: list[str], answer: Answer) -> int:
    from detection import parallel
    from detection.api.load import weights_file
    from detection.evaluation.report import to_json
    from detection.launch import launch
    from detection.loading.datasets import load_split
    from detection.loading.detectors import selection_notes
    from detection.predict.detector import Detector
    from detection.predict.prepare import in_precision
    from detection.report.run import NO_TILES

    if args.processes > 1 and not parallel.launched():
        return launch("evaluate", arguments, args.processes, args.device)
    device = parallel.start(parallel.choose_device(args.device))
    try:
        detectors, config = load_detectors(args, device)
        tiles = choose_tiles(args, config)
        tell_of_compilation(args)
        detectors = [detector.at(args.size) for detector in detectors]
        detectors = [d.finding(count=args.max_detections).served(args.compiled) for d in detectors]
        if args.grey_bits:
            detectors = [replace(d, grey_bits=args.grey_bits) for d in detectors]
            config = replace(config, input=replace(config.input, grey_bits=args.grey_bits))
        trained, config = config, with_data(config, args)
        split = args.split or config.dataset.val or "val"
        index, notes = load_split(config, split, detectors[0].class_names)
        notes = [*notes, *selection_notes(weights_file(args.checkpoint[0]), trained, args.data, split)]
        if args.output:
            parallel.on_first(lambda: _claim(args))
        if parallel.rank() == 0:
            tell_of_trained_images(args.checkpoint, index)
        with in_precision(args.precision, device):
            first = detectors[0]
            if isinstance(first, Detector) and not improves(args):
                run = _plain(first, index, config, args)
            else:
                run = _one_by_one(in_tiles(improve(detectors, args) if improves(args) else first, args), index, args)
        if parallel.rank() == 0:
            for note in notes:
                print(note)
            if run.losses:
                print(f"{split}: " + "  ".join(f"{name} {value:.4f}" for name, value in run.losses.items()))
            print(f"input: {size_text(detectors[0])}{tiles}")
            scores, text = _scores(index, run.results, args)
            print(text)
            answer({**to_json(scores), "split": split, "losses": run.losses})
            if args.output:
                _write(args.output, run, scores, detectors[0])
            if run.watched:
                words = shlex.join(["frcnn", "evaluate", *arguments])
                _report(run, index, config, split, args, words, detectors[0].grey_bits)
            elif args.output and args.report and args.tile:
                print(f"no report: {NO_TILES}")
    finally:
        parallel.stop()
    return 0


def _claim(args: argparse.Namespace) -> None:
    from detection.files.outputs import claim_output, refuse_overwriting

    claim_output(args.output)
    refuse_overwriting((args.output / name for name in WRITTEN), args.checkpoint or [args.predictions])


@dataclass(frozen=True)
class _Run:
    """What evaluation found: COCO results, a picture where it is written, losses of one pass, and that pass where a
    report is to be made of it."""

    results: list[dict[str, Any]]
    picture: np.ndarray | None
    losses: dict[str, float]
    watched: DetectorEvaluation | None = None


def _plain(detector: Detector, index: AnnotationIndex, config: Config, args: argparse.Namespace) -> _Run:
    """One pass of one model, by the evaluation of training."""
    from detection.report.traced import passages_in
    from detection.training.validation import evaluate_detector

    pictures = PICTURES if args.output else 0
    settings = args.batch, args.workers, args.backend, pictures, limit_of(args)
    watch = passages_in(index, config.model.rpn.negative_iou) if _reports(args) else None
    found = evaluate_detector(detector, index, config, *settings, watch)
    losses = {**found.losses, "loss": sum(found.losses.values())}
    return _Run(found.results, found.picture, losses, found if watch else None)


def _reports(args: argparse.Namespace) -> bool:
    return bool(args.output and args.report and args.metric == "coco" and len(args.checkpoint) == 1 and not args.tile)


def _report(
    run: _Run, index: AnnotationIndex, config: Config, split: str, args: argparse.Namespace, command: str, bits: int
) -> None:
    from detection.report.run import subject_of, write

    assert run.watched is not None
    file, folder = args.checkpoint[0], args.output / "report"
    subject = subject_of(file, config, split, index, command, bits)
    found = write(run.watched, index, subject, file if file.is_dir() else file.parent, folder)
    print(f"\n{found.text}\n\n{folder / 'report.html'}: the report, with pictures")


def _one_by_one(detector: Any, index: AnnotationIndex, args: argparse.Namespace) -> _Run:
    """Each rank takes its share of the images, one at a time."""
    from detection import parallel
    from detection.evaluation.results import to_results
    from detection.predict.stream import Decoder
    from detection.training.validation import beside_truth

    mine = range(parallel.rank(), len(index), parallel.world())
    decoded = Decoder(detector.prepare, threads=args.workers or 1, grey_bits=detector.grey_bits)(
        [index.path(row)] for row in mine
    )
    found = [detector.detect(batch.inputs)[0] for batch in track(decoded, "evaluating", len(mine))]
    by_row = dict(sorted(pair for part in parallel.gather(list(zip(mine, found))) for pair in part))
    results = to_results(list(by_row.values()), index, list(by_row))
    if not args.output or parallel.rank():
        return _Run(results, None, {})
    return _Run(results, beside_truth(index, by_row, PICTURES, detector.grey_bits), {})


def _scores(
    index: AnnotationIndex, results: list[dict[str, Any]], args: argparse.Namespace
) -> tuple[CocoResult | VocResult, str]:
    """The numbers of the metric that was asked for, and the same as tables."""
    import numpy as np

    from detection.evaluation.coco_ap import evaluate_coco
    from detection.evaluation.report import false_alarms, per_class_table, summary_table, voc_table
    from detection.evaluation.results import ground_truth
    from detection.evaluation.voc_ap import evaluate_voc, voc_arrays

    if args.metric == "voc":
        found = evaluate_voc(*voc_arrays(index, results))
        return found, voc_table(found)
    result = evaluate_coco(ground_truth(index), results, args.backend, limit_of(args))
    most, text = int(np.diff(index.offsets).max(initial=0)), ""
    if most > limit_of(args):
        text = (
            f"images have up to {counted(most, 'object')}, of which AP counts {limit_of(args)}: see --max-detections\n"
        )
    return result, text + (false_alarms(result, results) or f"{summary_table(result)}\n\n{per_class_table(result)}")


def _write(folder: Path, run: _Run, scores: CocoResult | VocResult, detector: AnyDetector) -> None:
    from detection.evaluation.report import to_json
    from detection.evaluation.results import write_results
    from detection.predict.output import save_picture

    assert run.picture is not None
    write_results(folder / "predictions.json", run.results)
    _write_scores(folder, {**to_json(scores), "short_side": detector.short_side, "long_side": detector.long_side})
    save_picture(folder / "detections.png", run.picture)
    print(f"\nwrote predictions.json, evaluation.json and detections.png into {folder}")


def _write_scores(folder: Path, content: dict[str, Any]) -> None:
    from detection.files.atomic import write_atomically

    write_atomically(folder / "evaluation.json", json.dumps(content, indent=1).encode())
