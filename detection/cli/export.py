"""`frcnn export`: a detector as one file for ONNX Runtime or torch, for OpenVINO, or as safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from detection.cli.arguments import Parser, at_least, refuse_unused
from detection.errors import InputError

DESCRIPTION = """Write a detector for other runtimes. onnx: one file that takes raw images of any size and gives
detections, with the thresholds of `frcnn threshold` inside; ONNX Runtime in any language runs it without this toolkit.
torch: the same as one .pt2 file of torch.export, which torch and torchvision run without this toolkit.
openvino: a folder for `frcnn predict` and `frcnn evaluate` on the CPU. int8 takes its ranges from images, by default
those of the training split. All are held against the detector before they are kept. safetensors: the
checkpoint in a file that holds no code, for this toolkit and others."""

PRECISIONS = {"onnx": ("fp32", "fp16", "int8"), "torch": ("fp32",), "openvino": ("fp32", "bf16", "int8")}
FIXED_OPENVINO = ("fp32", "int8")
"""bf16 would round the coordinates of boxes too, since all is in one graph."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.backend == "safetensors":
        return _as_safetensors(parser, args)
    known = FIXED_OPENVINO if args.fixed and args.backend == "openvino" else PRECISIONS[args.backend]
    if args.precision not in known:
        raise InputError(f"--precision {args.precision}: {args.backend} has {', '.join(known)}")
    if args.backend == "openvino" and not args.fixed:
        refuse_unused(parser, args, "layout license", "on --backend openvino without --fixed")
    if args.backend == "torch":
        refuse_unused(parser, args, "fixed", "on --backend torch")

    import torch

    from detection.export.folder import export
    from detection.export.onnx_file import write_onnx
    from detection.export.openvino_file import write_openvino
    from detection.export.torch_file import write_torch
    from detection.loading.detectors import load_detector

    file = args.checkpoint / "best.pt" if args.checkpoint.is_dir() else args.checkpoint
    detector, config = load_detector(file, torch.device("cpu"))
    images = _images(args.images, config, detector.class_names, args.count)
    nchw, sizes = args.layout == "nchw", config.input
    tiles = None if sizes.tile is None else (sizes.tile, sizes.tile_overlap)
    if args.backend == "torch":
        output = args.output or file.with_suffix(".pt2")
        found = write_torch(detector, output, images, nchw, args.license, tiles)
    elif args.backend == "onnx":
        named = file.stem if args.precision == "fp32" else f"{file.stem}_{args.precision}"
        output = args.output or file.with_name(f"{named}.onnx")
        found = write_onnx(detector, output, images, args.precision, nchw, args.license, tiles, args.fixed)
    elif args.fixed:
        output = args.output or file.with_suffix(".xml")
        found = write_openvino(detector, output, images, args.precision, nchw, args.license, tiles, args.fixed)
    else:
        output = args.output or Path("runs/export")
        found = export(detector, file, output, args.precision, images).parity
    print(f"{output}: {args.backend} {args.precision}; on {found.images} images {found.same} of {found.expected}")
    print(
        f"  confident detections are the same, boxes within {found.pixels:.2g} pixels, scores within {found.score:.2g}"
    )
    return 0


def _as_safetensors(parser: Parser, args: argparse.Namespace) -> int:
    refuse_unused(parser, args, "precision layout fixed license images count", "on --backend safetensors")
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
        "--backend", choices=["onnx", "torch", "openvino", "safetensors"], default="onnx", help="form of the export"
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "fp16", "bf16", "int8"],
        default="fp32",
        help="fp32 everywhere, int8 in onnx and openvino, fp16 in onnx, bf16 in openvino",
    )
    parser.add_argument("--layout", choices=["nhwc", "nchw"], default="nhwc", help="how images lie: channels last or "
                        "first (onnx, torch)")  # fmt: skip
    parser.add_argument(
        "--fixed",
        type=_height_by_width,
        metavar="HxW",
        help="images of this height and width alone: shapes known beforehand, as TensorRT wants them (onnx), and one "
        "model (openvino)",
    )
    parser.add_argument("--license", metavar="TEXT", help="of the weights, for the file's metadata (onnx, torch)")
    parser.add_argument("--images", nargs="+", help="image files, folders or globs to calibrate and compare on")
    parser.add_argument("--count", type=at_least(1), default=300, help="images to calibrate and compare on, at most")
    parser.add_argument(
        "--output", type=Path, help="new file (default beside the checkpoint) or folder (openvino; runs/export)"
    )
    return parser


def _height_by_width(text: str) -> tuple[int, int]:
    height, apart, width = text.partition("x")
    if not (apart and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give height x width in pixels, as 480x640")
    return int(height), int(width)


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
