"""`frcnn predict`: detections of any images, as JSON and as pictures."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.cli.answer import Answer, add_json, answering
from detection.cli.arguments import Parser, at_least
from detection.cli.testing import (
    IMPROVEMENTS,
    add_running,
    add_testing,
    add_tiles,
    choose_tiles,
    improve,
    improves,
    in_tiles,
    load_detectors,
    size_text,
    tell_of_compilation,
)
from detection.cli.thresholds import add_thresholds, least_scores
from detection.counted import counted
from detection.errors import InputError
from detection.progress import track

if TYPE_CHECKING:
    import torch

    from detection.predict.bulk import Done
    from detection.predict.stream import Decoded
    from detection.records import Detections

DESCRIPTION = """Detect objects in images, folders and globs. Writes predictions.json, with boxes as x1 y1 x2 y2 in
pixels of the original image, upright by its EXIF orientation, and a picture of each image with its detections.
Several checkpoints of the same classes are an ensemble. Under torchrun every process takes its share of the images.
An interrupted prediction is resumed with --resume."""

SOURCES = """image files, folders, globs in quotes, addresses (http, s3), .txt files with a name a line, - for names on
the standard input; or videos, cameras by their number, streams (rtsp)"""

FORMS = ("coco", "csv", "yolo", "voc", "labelme")

DECODERS = 4
"""Threads that decode images, at most, unless more are asked for."""

NOTABLE_WAIT = 0.2
"""Share of the time that a network may wait for images before it is told."""


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)

    from detection import parallel
    from detection.cli.predict_ray import refuse_what_ray_does_not_do
    from detection.launch import launch

    if args.engine == "ray":
        refuse_what_ray_does_not_do(args)
    if args.processes > 1 and not parallel.launched():
        return launch("predict", arguments, args.processes, args.device)
    with answering(args.json) as answer:
        _run(args, answer)
    return 0


def _run(args: argparse.Namespace, answer: Answer) -> None:
    from detection import parallel
    from detection.cli.predict_ray import predict_on_ray
    from detection.files.lock import claim
    from detection.files.outputs import refuse_overwriting
    from detection.predict.bulk import Done, Writer, batches_of
    from detection.predict.collect import collect_images, picture_names
    from detection.predict.video import is_video

    if any(map(is_video, args.images)):
        answer(_videos(args))
        return
    if args.every != 1:
        raise InputError("--every: has no effect on images; leave it out")
    if args.track:
        raise InputError(f"--track: follows objects through a video, and {args.images[0]} is none; leave it out")
    collected = collect_images(args.images)
    images = collected.images
    pictures = dict(zip(images, picture_names(images)))
    refuse_overwriting((args.output / name for name in (*pictures.values(), "predictions.json")), images)
    # of workers elsewhere this process only has to know the classes
    device = parallel.start(parallel.choose_device("cpu" if args.engine == "ray" else args.device))
    try:
        detector = _detector(args, device)
        lock = claim(args.output)
        try:
            done = Done(args.output, _settings(args))
            discarded = parallel.on_first(lambda: done.discard() if not args.resume else 0)
            parallel.on_first(done.read)  # before any process writes: all must share out the same batches
            batches = batches_of(images, args.batch)
            left = parallel.from_first([i for i, paths in enumerate(batches) if not done.has(paths)])
            if parallel.rank() == 0:
                _tell(len(images), discarded, sum(len(batches[i]) for i in left), collected.left_out)
            mine = [batches[i] for i in left[parallel.rank() :: parallel.world()]]
            if args.engine == "ray":
                with Writer(args.output, 0, _settings(args)) as writer:
                    predict_on_ray(args, _detector, mine, pictures, writer.write)
            else:
                _predict(args, detector, mine, pictures)
            if detector.grey_bits == 16:
                _tell_of_dark_images([path for batch in mine for path in batch])
            parallel.gather(None)  # nobody merges before all have written
            parallel.on_first(lambda: answer(_finish(args, done, batches, pictures, detector.class_names)))
        finally:
            if lock:
                lock.release()
    finally:
        parallel.stop()


def _videos(args: argparse.Namespace) -> dict[str, Any]:
    from detection import parallel
    from detection.cli.predict_video import predict_videos
    from detection.files.outputs import claim_output
    from detection.predict.tracking import require_tracking

    images_alone = {"resume": False, "batch": 1, "save": [], "crops": False, "processes": 1}
    for name, plain in images_alone.items():
        if getattr(args, name) != plain:
            raise InputError(f"--{name}: has no effect on videos; leave it out")
    if args.track:
        require_tracking()
    claim_output(args.output)
    return predict_videos(args, _detector(args, parallel.choose_device(args.device)))


def _detector(args: argparse.Namespace, device: torch.device) -> Any:
    from detection import parallel

    detectors, config = load_detectors(args, device)
    detectors = [detector.at(args.size) for detector in detectors]
    tiles = choose_tiles(args, config)
    if parallel.rank() == 0:
        print(f"input: {size_text(detectors[0])}{tiles}")
    tell_of_compilation(args)
    stored = detectors[0].thresholds
    args.least = least_scores(args, stored, detectors[0].class_names)
    if args.score and stored and parallel.rank() == 0:
        print(f"--score: in place of the thresholds of {args.checkpoint[0]}")
    least = min(args.least) if isinstance(args.least, list) else args.least
    detectors = [d.finding(least) for d in detectors]  # below its own threshold too
    if args.grey_bits:
        detectors = [replace(d, grey_bits=args.grey_bits) for d in detectors]
    detectors = [d.served(args.compiled) for d in detectors]
    return in_tiles(improve(detectors, args) if improves(args) else detectors[0], args)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """What decides which detections an image has."""
    names = (
        "size",
        "batch",
        "invalid",
        "precision",
        "compiled",
        "grey_bits",
        "tile",
        "overlap",
        *IMPROVEMENTS,
    )
    given = {name: getattr(args, name) for name in names}
    return {"checkpoint": list(map(_known_as, args.checkpoint)), "score": args.least, **given}


def _known_as(path: Path) -> str:
    """Which weights these are."""
    from detection.api.load import weights_file
    from detection.checkpoint import digest
    from detection.export.folder import read_export
    from detection.export.graph_detector import FORMS

    path = weights_file(path)
    if path.suffix in FORMS:
        files = [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return f"{digest(path / 'model.pt')} {read_export(path)}" if path.is_dir() else digest(path)


def _predict(args: argparse.Namespace, detector: Any, batches: list[list[Path]], names: dict[Path, str]) -> None:
    """Detect in this process's batches; each is written down when its pictures are."""
    from detection import parallel
    from detection.cli.finished import finish_batch
    from detection.predict.bulk import Writer
    from detection.predict.prepare import in_precision
    from detection.predict.stream import Decoder, Finisher

    threads = args.workers or max(1, min(parallel.cores() // parallel.local_world(), DECODERS))
    skip, bits = args.invalid == "skip", detector.grey_bits
    decoder = Decoder(detector.prepare, threads, skip, bits, slides=args.tile > 0)

    def finish(batch: Decoded, found: list[Detections]) -> None:
        writer.write(batch.paths, finish_batch(args, names, detector.class_names, batch, found), batch.skipped)

    with (
        Writer(args.output, parallel.rank(), _settings(args)) as writer,
        Finisher() as finisher,
        in_precision(args.precision, detector.device),
    ):
        for batch in track(decoder(batches), "predicting", len(batches)):
            found = [some.above(args.least) for some in detector.detect(batch.inputs)]
            finisher.submit(finish, batch, found)
    if decoder.waited > NOTABLE_WAIT * max(decoder.elapsed, 2.0):
        share = decoder.waited / decoder.elapsed
        print(f"the network waited {share:.0%} of the time for images to be decoded; raise --workers, now {threads}")


def _tell(images: int, discarded: int, left: int, left_out: list[Path]) -> None:
    if left_out:
        print(f"left out {len(left_out)} folders with results of frcnn, the first {left_out[0]}")
    if discarded:
        print(f"starting over; --resume would have kept {counted(discarded, 'finished image')}")
    elif left < images:
        print(f"resuming: {images - left} of {counted(images, 'image')} are done")


def _tell_of_dark_images(paths: list[Path]) -> None:
    """Say where 16-bit files hold fewer bits, so that they were looked at nearly black."""
    from detection.data.image import bits_in_use

    for path in paths:
        try:
            bits = bits_in_use(path) if path.suffix.lower() in (".png", ".tif", ".tiff", ".pgm") else None
        except InputError:  # which was said, or skipped, when it was read
            continue
        if bits is not None:
            print(f"{path}: its 16 bits hold {bits}, which look nearly black; predict with --grey-bits {bits}")
            return


def _finish(
    args: argparse.Namespace,
    done: Done,
    batches: list[list[Path]],
    pictures: dict[Path, str],
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    from detection.predict.formats import write_forms

    records, skipped = done.merge(batches, list(pictures))
    count = sum(len(record["detections"]) for record in records)
    print(f"{counted(count, 'detection')} in {counted(len(records), 'image')}: {args.output / 'predictions.json'}")
    names = {str(path): Path(picture).stem for path, picture in pictures.items()}
    for form, files in write_forms(args.output, args.save, records, names, class_names).items():
        where = str(files[0]) if len(files) == 1 else f"{counted(len(files), 'file')} in {files[0].parent}"
        print(f"{form}: {where}")
    if skipped:
        print(f"skipped {counted(len(skipped), 'image')}; the first: {skipped[0]}")
    return {"images": records, "skipped": [str(each) for each in skipped]}


def _parser() -> Parser:
    parser = Parser("frcnn predict", DESCRIPTION)
    parser.add_argument("images", nargs="+", help=SOURCES)
    add_testing(parser, required=True)
    add_tiles(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/predict"), help="folder to write into")
    add_thresholds(parser)
    parser.add_argument("--batch", type=at_least(1), default=1, help="images at once")
    parser.add_argument("--size", type=at_least(32), help="input size in pixels; default as in training")
    add_running(parser)
    engine = "who computes: this machine, or the cluster of RAY_ADDRESS (ray), else Ray on this machine"
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help=engine)
    parser.add_argument(
        "--workers", type=at_least(1), help=f"threads that decode; default by cores, at most {DECODERS}"
    )
    parser.add_argument(
        "--invalid", choices=["error", "skip"], default="error", help="unreadable images: stop, or skip"
    )
    parser.add_argument("--resume", action="store_true", help="resume the prediction that was interrupted in --output")
    parser.add_argument("--no-pictures", action="store_true", help="draw nothing")
    save = f"also as labels to correct, or as a table: {', '.join(FORMS)}"
    parser.add_argument("--save", nargs="+", choices=FORMS, default=[], metavar="FORM", help=save)
    parser.add_argument("--crops", action="store_true", help="also each detection as a picture, in crops/CLASS")
    parser.add_argument("--every", type=at_least(1), default=1, metavar="N", help="of a video each Nth frame")
    parser.add_argument("--track", action="store_true", help="of a video: number objects, each as long as it is seen")
    add_json(parser)
    return parser
