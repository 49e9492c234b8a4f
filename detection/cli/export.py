"""`frcnn export`: a detector as one ONNX file, or for OpenVINO."""

from __future__ import annotations

import argparse
from pathlib import Path

from detection.cli.arguments import Parser, at_least, refuse_unused
from detection.errors import InputError

DESCRIPTION = """Write a detector for other runtimes. onnx: one file that takes raw images of any size and gives
detections, with the thresholds of `frcnn threshold` inside; ONNX Runtime in any language runs it without this toolkit.
openvino: a folder for `frcnn predict` and `frcnn evaluate` on the CPU. int8 takes its ranges from images, by default
those of the training split. Both are held against torch before they are kept. safetensors: the
checkpoint in a file that holds no code, for this toolkit and others."""

PRECISIONS = {"onnx": ("fp32", "fp16", "int8"), "openvino": ("fp32", "bf16", "int8")}


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.backend == "safetensors":
        return _as_safetensors(parser, args)
    one_file = args.backend == "onnx"
    known = PRECISIONS[args.backend]
    if args.precision not in known:
        raise InputError(f"--precision {args.precision}: {args.backend} has {', '.join(known)}")
    if not one_file:
        refuse_unused(parser, args, "layout license", "on --backend openvino")

    import torch

    from detection.export.folder import export
    from detection.export.onnx_file import write_onnx
    from detection.loading.detectors import load_detector

    file = args.checkpoint / "best.pt" if args.checkpoint.is_dir() else args.checkpoint
    detector, config = load_detector(file, torch.device("cpu"))
    images = _images(args.images, config, detector.class_names, args.count)
    if one_file:
        named = file.stem if args.precision == "fp32" else f"{file.stem}_{args.precision}"
        output = args.output or file.with_name(f"{named}.onnx")
        sizes, nchw = config.input, args.layout == "nchw"
        tiles = None if sizes.tile is None else (sizes.tile, sizes.tile_overlap)
        found = write_onnx(detector, output, images, args.precision, nchw, args.license, tiles)
    else:
        output = args.output or Path("runs/export")
        found = export(detector, file, output, args.precision, images).parity
    print(f"{output}: {args.backend} {args.precision}; on {found.images} images {found.same} of {found.expected}")
    print(
        f"  confident detections are the same, boxes within {found.pixels:.2g} pixels, scores within {found.score:.2g}"
    )
    return 0


def _as_safetensors(parser: Parser, args: argparse.Namespace) -> int:
    refuse_unused(parser, args, "precision layout license images count", "on --backend safetensors")
    from detection import checkpoint

    file = args.checkpoint / "best.pt" if args.checkpoint.is_dir() else args.checkpoint
    output = args.output or file.with_suffix(".safetensors")
    if output.suffix != ".safetensors":
        raise InputError(f"--output {output}: give a name that ends in .safetensors")
    if output.exists():
        raise InputError(f"{output}: exists already; give another file with --output")
    content = checkpoint.load(file, "detection")
    checkpoint.save(output, content)
    print(f"{output}: {len(content['model'])} tensors; every command takes it in place of {file.name}")
    return 0


def _parser() -> Parser:
    parser = Parser("frcnn export", DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt or last.pt of a run, or its folder")
    parser.add_argument(
        "--backend", choices=["onnx", "openvino", "safetensors"], default="onnx", help="form of the export"
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "fp16", "bf16", "int8"],
        default="fp32",
        help="fp32 and int8 everywhere, fp16 in onnx, bf16 in openvino",
    )
    parser.add_argument("--layout", choices=["nhwc", "nchw"], default="nhwc", help="how images lie: channels last or "
                        "first (onnx)")  # fmt: skip
    parser.add_argument("--license", metavar="TEXT", help="of the weights, for the file's metadata (onnx)")
    parser.add_argument("--images", nargs="+", help="image files, folders or globs to calibrate and compare on")
    parser.add_argument("--count", type=at_least(1), default=300, help="images to calibrate and compare on, at most")
    parser.add_argument(
        "--output", type=Path, help="new file (onnx; default beside the checkpoint) or folder (openvino; runs/export)"
    )
    return parser


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
