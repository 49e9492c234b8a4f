"""`frcnn export`: a detector for OpenVINO or ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from detection.cli.arguments import Parser, at_least
from detection.errors import InputError

DESCRIPTION = """Write a detector into a folder that `frcnn predict` and `frcnn evaluate` take as --checkpoint, and run
on the CPU by OpenVINO (float32, bfloat16, int8) or ONNX Runtime. int8 is calibrated on images, by default on those of
the training split."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn export", DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt or last.pt of a run")
    parser.add_argument(
        "--backend", choices=["openvino", "onnx"], default="openvino", help="runtime of the exported detector"
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "int8"],
        default="fp32",
        help="numeric precision of the exported networks",
    )
    parser.add_argument("--images", nargs="+", help="image files, folders or globs to calibrate and compare on")
    parser.add_argument("--count", type=at_least(1), default=300, help="images to calibrate and compare on, at most")
    parser.add_argument("--output", type=Path, default=Path("runs/export"), help="new folder to write into")
    args = parser.parse_args(arguments)

    import torch

    from detection.export.folder import export
    from detection.loading.detectors import load_detector

    detector, config = load_detector(args.checkpoint, torch.device("cpu"))
    images = _images(args.images, config, detector.class_names, args.count)
    told = export(detector, args.checkpoint, args.output, args.backend, args.precision, images)
    found = told.parity
    print(f"{args.output}: {args.backend} {args.precision}; on {found.images} images {found.same} of {found.expected}")
    print(
        f"  confident detections are the same, boxes within {found.pixels:.2g} pixels, scores within {found.score:.2g}"
    )
    return 0


def _images(names: list[str] | None, config: object, classes: tuple[str, ...], count: int) -> list[Path]:
    """The named images, or those of the training split: `count` of them, spread over all."""
    from detection.config.schema import Config
    from detection.loading.datasets import load_split
    from detection.predict.collect import collect_images

    if names:
        found = collect_images(names).images
    else:
        assert isinstance(config, Config)
        try:
            index, _ = load_split(config, config.dataset.train, classes)
        except InputError as error:
            raise InputError(f"{error}; or name images with --images") from error
        found = [index.path(row) for row in range(len(index))]
    return found[:: max(1, len(found) // count)][:count]
