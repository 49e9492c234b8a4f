"""`frcnn predict`: detections of any images, as JSON and as pictures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from detection.cli.arguments import Parser, at_least, share
from detection.cli.testing import add_testing, improve, improves, load_detectors
from detection.errors import InputError

DESCRIPTION = """Detect objects in images, folders and globs. Writes predictions.json, with boxes as x1 y1 x2 y2 in
pixels of the original image, upright by its EXIF orientation, and a picture of each image with its detections.
Several checkpoints of the same classes are an ensemble."""


def main(arguments: list[str]) -> int:
    args = _parse(arguments)

    from detection import parallel
    from detection.data.image import read_image
    from detection.predict.collect import collect_images, picture_names
    from detection.predict.output import to_records, write_json

    images = collect_images(args.images)
    detectors, _ = load_detectors(args, parallel.choose_device(args.device))
    if args.short_side:
        detectors = [
            replace(d, short_side=args.short_side, long_side=max(d.long_side, args.short_side)) for d in detectors
        ]
    detector = improve(detectors, args) if improves(args) else detectors[0]
    names = dict(zip(images, picture_names(images)))
    records: list[dict[str, Any]] = []
    skipped: list[str] = []
    for start in range(0, len(images), args.batch):
        pixels = {}
        for path in images[start : start + args.batch]:
            try:
                pixels[path] = read_image(path)
            except InputError as error:
                if args.invalid == "error":
                    raise
                skipped.append(str(error))
        for path, found in zip(pixels, detector(list(pixels.values()))):
            found = found.above(args.score)
            records.append(to_records(str(path), found, detector.class_names))
            if not args.no_pictures:
                _draw(args.output / names[path], pixels[path], found, detector.class_names)
    write_json(args.output / "predictions.json", records)
    count = sum(len(record["detections"]) for record in records)
    print(f"{count} detections in {len(records)} images: {args.output / 'predictions.json'}")
    if skipped:
        print(f"skipped {len(skipped)} images; the first: {skipped[0]}")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The arguments. Images may follow the checkpoints: of these, the second and later ones end in .pt."""
    parser = _parser()
    args = parser.parse_args(arguments)
    first, rest = (args.checkpoint or [])[:1], (args.checkpoint or [])[1:]
    weights = list(takewhile(lambda path: path.suffix == ".pt", rest))
    args.checkpoint = first + weights
    args.images += [str(path) for path in rest[len(weights) :]]
    missing = [name for name, given in (("images", args.images), ("--checkpoint", first)) if not given]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    return args


def _parser() -> Parser:
    parser = Parser("frcnn predict", DESCRIPTION)
    parser.add_argument("images", nargs="*", help="image files, folders, or globs in quotes")
    add_testing(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/predict"), help="folder to write into")
    parser.add_argument("--score", type=share, default=0.5, help="least score of a detection")
    parser.add_argument("--batch", type=at_least(1), default=1, help="images at once")
    parser.add_argument("--short_side", type=at_least(32), help="input size in pixels; default as in training")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--invalid", choices=["error", "skip"], default="error", help="unreadable images: stop, or skip"
    )
    parser.add_argument("--no-pictures", action="store_true", help="write only the JSON")
    return parser


def _draw(path: Path, image: Any, found: Any, class_names: tuple[str, ...]) -> None:
    from detection.predict.draw import draw
    from detection.predict.output import save_picture

    save_picture(path, draw(image, found.boxes.numpy(), found.labels.numpy(), class_names, found.scores.numpy()))
