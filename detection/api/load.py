"""`detection.load`: a trained detector as a function of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, overload

import torch

from detection.api.hub import fetch
from detection.api.images import as_pixels
from detection.api.prediction import Prediction, checked_score
from detection.config.schema import Config, InputConfig
from detection.errors import InputError
from detection.export.folder import load_export, read_export
from detection.export.graph_detector import FORMS, GraphDetector
from detection.export.onnx_file import read_onnx
from detection.export.openvino_file import read_openvino
from detection.export.torch_file import read_torch
from detection.loading.detectors import load_detector
from detection.parallel import choose_device
from detection.predict.detector import Detector
from detection.predict.tiles import TiledDetector

AnyDetector = Detector | GraphDetector
"""A network, or a graph that hides one."""

READERS = {".onnx": read_onnx, ".pt2": read_torch, ".xml": read_openvino}
"""By the suffixes of `FORMS`."""

SMALLEST_SIZE = 32
"""pixels of the network's input"""


@dataclass(frozen=True, eq=False, repr=False)
class LoadedDetector:
    """A detector that takes images in whatever form a program has them.

    detector: the network with its input size; config: of the run that trained it; serving: the network prepared for
    prediction (norms folded into convolutions), which gives the same detections sooner, and which looks at tiles and at
    the whole of large images where it was trained on tiles (`input.tile`).

        >>> detector = detection.load("runs/train/best.pt")
        >>> found = detector("photo.jpg")
        >>> several = detector(["photo.jpg", array, pil_image])

    It may be called from several threads, and several may live in one process.
    """

    detector: AnyDetector
    config: Config
    serving: AnyDetector | TiledDetector

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:5]) + (", ..." if len(self.class_names) > 5 else "")
        model = self.config.model
        kind = f"{model.architecture} {model.backbone}"
        if isinstance(self.detector, GraphDetector):
            kind = FORMS[self.detector.suffix].split()[1]
        sides = f"{self.detector.short_side} to {self.detector.long_side} pixels"
        if isinstance(self.serving, TiledDetector):
            sides += f", tiles of {self.serving.tile}"
        return f"LoadedDetector({kind}, {names}; {sides}, {self.device})"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.detector.class_names

    @property
    def device(self) -> torch.device:
        return self.detector.device

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...], score: float | None = None) -> list[Prediction]: ...

    @overload
    def __call__(self, images: Any, score: float | None = None) -> Prediction: ...

    def __call__(self, images: Any, score: float | None = None) -> Prediction | list[Prediction]:
        """What is in an image, or in each of a list or tuple of them, one at a time, as evaluation does.

        An image is a path or an http address of a file, the bytes of one or a file opened for reading them, a uint8
        array (H, W, 3) in RGB or (H, W) in grey, a Pillow image, or a uint8 tensor (3, H, W). Files are turned upright
        by their EXIF orientation; arrays, tensors and Pillow images are taken as they are. score: leave out what scores
        less; default the thresholds that `frcnn threshold` chose, else all that the model keeps, from model.roi.score
        on. Raises `InputError` for what is no image.
        """
        score = None if score is None else checked_score(score)
        if isinstance(images, (list, tuple)):
            return [self._one(image, score) for image in images]
        return self._one(images, score)

    def _one(self, image: Any, score: float | None) -> Prediction:
        pixels = as_pixels(image, self.detector.grey_bits)
        found = self.serving([pixels])[0]
        least = self.detector.thresholds if score is None else score
        return Prediction.of(pixels, found if least is None else found.above(least), self.class_names)


def load(path: Path | str, device: str = "auto", size: int | None = None) -> LoadedDetector:
    """The detector of a `best.pt` or `last.pt`, of the folder of a run (its best.pt), of an ONNX, .pt2 or .xml
    file or another export, of hf://user/name on the Hugging Face Hub, or of torchvision, detectron2 or mmdetection: the
    state dict of a fasterrcnn_resnet50_fpn or _v2, a .pkl of the zoo.

    device: auto, cpu, cuda, cuda:N or mps; size: shorter side of the network's input in pixels, default as in training.
    Raises `InputError` where the file is missing or is no detector. Checkpoints hold no code that is run.

        >>> detector = detection.load("runs/train/best.pt", device="cpu")
        >>> detector.class_names
    """
    if size is not None and not (isinstance(size, Integral) and size >= SMALLEST_SIZE):
        raise InputError(f"size: {size!r} is not a number of pixels from {SMALLEST_SIZE} on")
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"got {type(path).__name__}; give the path of a best.pt or last.pt")
    path = fetch(str(path)) if str(path).startswith("hf:") else weights_file(Path(path))
    # An export runs on the CPU, also where `auto` would find a GPU.
    exported = path.is_dir() or path.suffix in FORMS
    chosen = torch.device("cpu") if exported and str(device) == "auto" else choose_device(str(device))
    detector, config = load_any_detector(path, chosen)
    detector = detector.at(size)
    serving, sizes = detector.served(), config.input
    tiles = None if sizes.tile is None else TiledDetector(serving, sizes.tile, sizes.tile_overlap)
    return LoadedDetector(detector, config, tiles or serving)


def weights_file(path: Path) -> Path:
    """`path`, or the best.pt in it where it is the folder of a run."""
    return path / "best.pt" if (path / "best.pt").is_file() else path


def load_any_detector(path: Path, device: torch.device) -> tuple[AnyDetector, Config]:
    """The detector of a checkpoint, of the folder of a run, of an ONNX or .pt2 file or of the folder of another export,
    with its configuration; that of a file, which knows its tiles alone, is else the default. It finds all that
    evaluation counts."""
    path = weights_file(path)
    if not path.is_dir() and path.suffix not in FORMS:
        return load_detector(path, device)
    if path.is_dir():
        read_export(path)
    if device.type != "cpu":
        raise InputError(f"{path}: an exported detector runs on the CPU; give --device cpu")
    if path.suffix in FORMS:
        graph = READERS[path.suffix](path)
        return graph.finding(graph.lowest), Config(input=InputConfig(tile=graph.tile, tile_overlap=graph.tile_overlap))
    detector, config = load_detector(path / "model.pt", device)
    return load_export(path, detector), config


def as_loaded(detector: LoadedDetector | Path | str, device: str = "auto") -> LoadedDetector:
    """The detector, loaded where it is a path."""
    return detector if isinstance(detector, LoadedDetector) else load(detector, device)
