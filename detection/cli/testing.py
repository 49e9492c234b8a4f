"""What commands that test a checkpoint share: their options, and what they say of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.cli.arguments import at_least, share
from detection.counted import counted
from detection.errors import InputError

if TYPE_CHECKING:
    import torch

    from detection.api.load import AnyDetector
    from detection.config.schema import Config
    from detection.data.index import AnnotationIndex
    from detection.predict.improved import ImprovedDetector

IMPROVEMENTS: dict[str, Any] = {
    "refine": False,
    "vote": None,
    "scales": [],
    "flip": False,
    "suppression": "nms",
    "nms": None,
    "union": "all",
}
"""The options and their values where nobody asks for anything."""


LARGEST_OVERLAP = 0.8
SMALLEST_TILE = 32

COMPILING = (
    "compiling the network, at the first image and once or twice more where sizes change much: about half a minute each"
)


def _checkpoint(text: str) -> Path:
    """A path, also of what lies on the hub."""
    if not text.startswith("hf:"):
        return Path(text)
    from detection.api.hub import fetch

    try:
        return fetch(text)
    except InputError as error:  # which argparse would put into words of its own
        raise argparse.ArgumentTypeError(str(error)) from error


def add_testing(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """`--checkpoint` and the improvements of the ResNet paper's appendix B, with two kinds of suppression since."""
    parser.add_argument(
        "--checkpoint",
        type=_checkpoint,
        action="append",
        required=required,
        help="best.pt, last.pt, an ONNX or .pt2 file, the folder of an export, or hf://user/name; several: an ensemble",
    )
    add = parser.add_argument_group(
        "improvements at test time, each alone or together; one image at a time"
    ).add_argument
    add(
        "--refine",
        action="store_true",
        help="iterative refinement: score the regressed boxes too; NMS at IoU 0.3, then voting",
    )
    add("--vote", action=argparse.BooleanOptionalAction, help="box voting after suppression; default with --refine")
    add(
        "--scales",
        type=at_least(32),
        nargs="+",
        default=[],
        metavar="S",
        help="short sides of multi-scale testing, such as 200 400 600",
    )
    add("--flip", action="store_true", help="detect in the mirrored image too")
    add("--suppression", choices=["nms", "soft", "wbf"], default="nms", help="NMS, Soft-NMS or weighted box fusion")
    add("--union", choices=["all", "best"], default="all", help="regions that an ensemble scores: all that its models "
        "propose, or the best of them, as many as the first proposes alone")  # fmt: skip
    add("--nms", type=share, help="IoU of the suppression; default the model's own, 0.3 with --refine")


def add_tiles(parser: argparse.ArgumentParser) -> None:
    tile = "look at tiles of this side, and at the whole image: for small objects in large images"
    none = "0: at the whole alone; default as in training"
    parser.add_argument("--tile", type=_tile, metavar="PIXELS", help=f"{tile}; {none}")
    overlap = "what neighbouring tiles share of their side, more than an object takes; default 0.2, or as in training"
    parser.add_argument("--overlap", type=share, help=overlap)


def _tile(text: str) -> int:
    return 0 if text == "0" else at_least(SMALLEST_TILE)(text)


def choose_tiles(args: argparse.Namespace, config: Config) -> str:
    """Fill in `--tile`, 0 where there are none, and `--overlap` as in the training by `config`; what to say of it.
    Raises `InputError` for an overlap that is none."""
    trained = args.tile is None and config.input.tile is not None
    args.tile = args.tile if args.tile is not None else config.input.tile or 0
    if not args.tile:
        if args.overlap is not None:
            raise InputError("--overlap: has no effect without --tile PIXELS; leave it out")
        return ""
    args.overlap = config.input.tile_overlap if args.overlap is None else args.overlap
    if args.overlap > LARGEST_OVERLAP:
        raise InputError(f"--overlap {args.overlap:g}: tiles must move on; give at most {LARGEST_OVERLAP:g}")
    why = ", as in training (--tile 0: whole images alone)" if trained else ""
    return f"; tiles of {args.tile} pixels that share {args.overlap:g} of their side, and whole images{why}"


def in_tiles(detector: Any, args: argparse.Namespace) -> Any:
    """The detector, over tiles where `choose_tiles` chose them."""
    from detection.predict.tiles import TiledDetector

    return TiledDetector(detector, args.tile, args.overlap, args.nms or 0.5) if args.tile else detector


def add_running(parser: argparse.ArgumentParser) -> None:
    """Where and how the network computes."""
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add("--processes", type=at_least(1), default=1, help="processes on this machine, each on a GPU of its own")
    add(
        "--precision",
        choices=["fp32", "bf16", "fp16"],
        default="fp32",
        help="numeric precision; bf16 and fp16 are faster where the hardware has them",
    )
    add("--grey-bits", type=at_least(8), help="significant bits of 16-bit grey images; default as in training")
    add("--compiled", action="store_true", help="compile the network first, which takes minutes; pays for many images")


def tell_of_compilation(args: argparse.Namespace) -> None:
    """Why nothing happens for a while."""
    if args.compiled:
        print(COMPILING, flush=True)


def improves(args: argparse.Namespace) -> bool:
    """Whether anything beyond one pass of one model is asked for."""
    several = args.checkpoint is not None and len(args.checkpoint) > 1
    return several or any(getattr(args, name) != plain for name, plain in IMPROVEMENTS.items())


def load_detectors(args: argparse.Namespace, device: torch.device) -> tuple[list[AnyDetector], Config]:
    """The detectors of all checkpoints, and the first one's config."""
    from detection.api.load import load_any_detector

    loaded = [load_any_detector(path, device) for path in args.checkpoint]
    return [detector for detector, _ in loaded], loaded[0][1]


def size_text(detector: AnyDetector) -> str:
    """At which size images enter the network."""
    return f"short side {detector.short_side}, long side at most {detector.long_side} pixels"


def improve(detectors: Sequence[AnyDetector], args: argparse.Namespace) -> ImprovedDetector:
    """The detectors with the improvements asked for. Raises `InputError` where they do not go together."""
    from detection.predict.detector import Detector
    from detection.predict.improved import ImprovedDetector, Improvements

    nets = [detector for detector in detectors if isinstance(detector, Detector)]
    if len(nets) < len(detectors):
        raise InputError("ensembles and improvements look into the network, which a graph hides; give checkpoints")
    if args.batch != 1:
        raise InputError(f"--batch {args.batch}: ensembles and improvements take one image at a time; leave it out")
    if args.union != "all" and len(nets) == 1:
        raise InputError(f"--union {args.union}: needs an ensemble; give several --checkpoint, or leave it out")
    options = {name: getattr(args, name) for name in IMPROVEMENTS}
    return ImprovedDetector(nets, Improvements(**{**options, "scales": tuple(args.scales)}))


def tell_of_trained_images(checkpoints: list[Path], index: AnnotationIndex) -> None:
    """Say how many of the images a checkpoint was trained on, whatever they are called here."""
    import numpy as np

    from detection.api.load import weights_file
    from detection.data.hold_out import index_fingerprints
    from detection.export.graph_detector import FORMS
    from detection.loading.detectors import trained_images

    known = index_fingerprints(index)
    for path in map(weights_file, checkpoints):
        if path.suffix in FORMS:
            continue
        seen = int(np.isin(known, trained_images(path / "model.pt" if path.is_dir() else path)).sum())
        if seen:
            print(
                f"warning: {path} was trained on {seen} of these {counted(len(known), 'image')}, "
                "so the numbers are too good"
            )


def limit_of(args: argparse.Namespace) -> int:
    """Detections an image and class that count; COCO's 100 unless another is asked for."""
    return args.max_detections or 100


def with_data(config: Any, args: argparse.Namespace) -> Any:
    """The config with what the command line says of the data, and with the tiles of `choose_tiles`."""
    dataset = replace(
        config.dataset,
        format=args.format or ("auto" if args.data else config.dataset.format),
        images=args.images or (None if args.data else config.dataset.images),
        invalid=args.invalid or config.dataset.invalid,
    )
    overlap = config.input.tile_overlap if args.overlap is None else args.overlap
    sizes = replace(config.input, tile=args.tile or None, tile_overlap=overlap)
    return replace(config, data=args.data or config.data, dataset=dataset, input=sizes)
