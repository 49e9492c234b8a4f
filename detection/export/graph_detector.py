"""A detector that lies in one file as a graph, whatever runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection import __version__
from detection.data.image import as_rgb, image_size
from detection.errors import InputError
from detection.predict.detector import Detector
from detection.records import Detections, Size

Run = Callable[[np.ndarray, "np.ndarray | None"], Sequence[Any]]
"""(images, thresholds or None for the file's own) -> the four outputs as arrays: see `detection.export.whole`."""

FORMS = {".onnx": "an ONNX file", ".pt2": "a .pt2 file", ".xml": "an OpenVINO model"}
"""By the suffix of a file."""


Tiles = tuple[int, float]
"""Side in pixels and overlap of the tiles of larger images that a detector was trained on."""


@dataclass(frozen=True)
class GraphDetector:
    """The detector of a file, which runs as `Detector` does, one image at a time.

    suffix: of the file, a key of `FORMS`; about: its metadata; layout: nhwc or nchw; lowest: score of a detection that
    evaluation counts; thresholds: by label, those of the file; least: those that are asked of it, None for its own;
    tile, tile_overlap: of the tiles that it was trained on, None where it was on whole images;
    fixed: (height, width) of the images where it takes no others, with as many outputs for each and a count of those
    that are detections (see `detection.export.sized`).
    """

    run: Run
    suffix: str
    about: Mapping[str, str]
    class_names: tuple[str, ...]
    short_side: int
    long_side: int
    layout: str
    lowest: float
    thresholds: tuple[float, ...]
    least: tuple[float, ...] | None = None
    grey_bits: int = 16
    fixed: Size | None = None
    tile: int | None = None
    tile_overlap: float = 0.2
    device: torch.device = torch.device("cpu")

    @staticmethod
    def of(run: Run, suffix: str, about: Mapping[str, str], name: str) -> GraphDetector:
        """That of a file called `name`, with its metadata. Raises `InputError` where they lack something."""
        try:
            return GraphDetector(
                run,
                suffix,
                about,
                tuple(json.loads(about["names"])),
                int(about["short_side"]),
                int(about["long_side"]),
                about["layout"],
                float(about["score"]),
                tuple(json.loads(about["thresholds"])),
                grey_bits=int(about["grey_bits"]),
                fixed=(int(about["height"]), int(about["width"])) if "height" in about else None,
                tile=int(about["tile"]) if "tile" in about else None,
                tile_overlap=float(about.get("tile_overlap", 0.2)),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{name}: is no detector of `frcnn export`: its metadata lacks {error}") from error

    def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Detections of each image, as those of `Detector`."""
        return self.detect([self.prepare(image) for image in images])

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return as_rgb(image)

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> Detections:
        size = (image.shape[0], image.shape[1])
        if self.fixed not in (None, size):
            raise InputError(
                f"an image of {_text(size)}: {FORMS[self.suffix]} of --fixed {_text(self.fixed)} takes no other"
            )
        given = np.ascontiguousarray(image if self.layout == "nhwc" else image.transpose(2, 0, 1))[None]
        least = None if self.least is None else np.array(self.least, np.float32)
        boxes, scores, labels, last = map(torch.as_tensor, self.run(given, least))
        count = int(last[0]) if self.fixed else len(boxes)
        return Detections(boxes[:count], scores[:count], labels[:count], size)

    def at(self, short_side: int | None) -> GraphDetector:
        if short_side not in (None, self.short_side):
            raise InputError(f"--size {short_side}: the file was exported with {self.short_side}; export again at that")
        return self

    def served(self, compiled: bool = False) -> GraphDetector:
        if compiled:
            raise InputError(f"--compiled: {FORMS[self.suffix]} is not compiled by torch; leave it out")
        return self

    def finding(self, least: float | None = None, count: int | None = None) -> GraphDetector:
        if count is not None:
            form = FORMS[self.suffix]
            raise InputError(f"--max-detections: {form} keeps the number that it was exported with; leave it out")
        return self if least is None else replace(self, least=(least,) * len(self.class_names))


def _text(size: Size | None) -> str:
    return "x".join(map(str, size or ()))


def least_scores(detector: Detector) -> tuple[float, ...]:
    """From which score on there is a detection of each class: the thresholds of a file."""
    return detector.thresholds or (detector.model.roi_stage.limits.score,) * len(detector.class_names)


def describe(
    detector: Detector,
    precision: str,
    nchw: bool,
    licence: str | None,
    tiles: Tiles | None,
    fixed: Size | None = None,
) -> dict[str, str]:
    """What a program must know beside the graph. tiles: see `Tiles`; of a file of one size none are told."""
    return {
        "names": json.dumps(detector.class_names),
        "thresholds": json.dumps([round(float(t), 6) for t in least_scores(detector)]),
        "short_side": str(detector.short_side),
        "long_side": str(detector.long_side),
        "layout": "nchw" if nchw else "nhwc",
        "score": str(detector.model.roi_stage.limits.score),
        "precision": precision,
        "grey_bits": str(detector.grey_bits),
        "version": f"frcnn-toolkit {__version__}",
        "license": licence or "not stated",
        **({} if fixed is None else {"height": str(fixed[0]), "width": str(fixed[1])}),
        **({} if tiles is None or fixed is not None else {"tile": str(tiles[0]), "tile_overlap": str(tiles[1])}),
    }


def fitting(images: Sequence[Path], fixed: Size | None) -> Sequence[Path]:
    """Those of the images that have this size, all where it is None. Raises `InputError` where there is none."""
    if not images:
        raise InputError("export: needs at least one image to compare on; give some with --images")
    found = images if fixed is None else [path for path in images if image_size(path) == fixed]
    if not found:
        raise InputError(
            f"--fixed {_text(fixed)}: none of the images to compare on has this height and width; "
            "give some with --images"
        )
    return found
