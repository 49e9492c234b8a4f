"""`detection.load`: a trained detector as a function of images."""

from __future__ import annotations

import tempfile
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from detection.api.prediction import Prediction
from detection.config.schema import Config
from detection.data.image import as_rgb, read_image
from detection.errors import InputError
from detection.export.folder import load_export, read_export
from detection.loading.detectors import load_detector
from detection.parallel import choose_device
from detection.predict.detector import Detector
from detection.predict.prepare import prepare

LARGEST_DOWNLOAD = 1 << 28
"""bytes of an image behind a URL"""


@dataclass(frozen=True)
class LoadedDetector:
    """A detector that takes images in whatever form a program has them.

    detector: the network with its input size; config: of the run that trained it; serving: the network prepared for
    prediction (norms folded into convolutions), which gives the same detections sooner.

        >>> detector = detection.load("runs/train/best.pt")
        >>> found = detector("photo.jpg")
        >>> several = detector(["photo.jpg", array, pil_image])

    It may be called from several threads, and several may live in one process.
    """

    detector: Detector
    config: Config
    serving: Detector

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

        An image is a path or an http address of a file, a uint8 array (H, W, 3) in RGB or (H, W) in grey, a Pillow
        image, or a uint8 tensor (3, H, W). score: leave out what scores less; default the thresholds that
        `frcnn threshold` chose, else all that the model keeps, from model.roi.score on. Raises `InputError` for what is
        no image.
        """
        if isinstance(images, (list, tuple)):
            return [self._one(image, score) for image in images]
        return self._one(images, score)

    def _one(self, image: Any, score: float | None) -> Prediction:
        pixels = as_pixels(image, self.detector.grey_bits)
        found = self.serving([pixels])[0]
        least = self.detector.thresholds if score is None else score
        return Prediction.of(pixels, found if least is None else found.above(least), self.class_names)


def load(path: Path | str, device: str = "auto", size: int | None = None) -> LoadedDetector:
    """The detector of a `best.pt` or `last.pt`, or of the folder of an export.

    device: auto, cpu, cuda, cuda:N or mps; size: shorter side of the network's input in pixels, default as in training.
    Raises `InputError` where the file is missing or is no detector. Checkpoints hold no code that is run.

        >>> detector = detection.load("runs/train/best.pt", device="cpu")
        >>> detector.class_names
    """
    detector, config = load_any_detector(Path(path), choose_device(device))
    detector = detector.at(size)
    return LoadedDetector(detector, config, replace(detector, model=prepare(detector.model)))


def load_any_detector(path: Path, device: torch.device) -> tuple[Detector, Config]:
    """The detector of a checkpoint, or of the folder of an export, with its configuration."""
    if not path.is_dir():
        return load_detector(path, device)
    read_export(path)
    if device.type != "cpu":
        raise InputError(f"{path}: an exported detector runs on the CPU; give --device cpu")
    detector, config = load_detector(path / "model.pt", device)
    return load_export(path, detector), config


def as_pixels(image: Any, grey_bits: int = 16) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image in any form that `LoadedDetector` takes; files as `frcnn predict` reads them."""
    if isinstance(image, (str, Path)):
        if str(image).startswith(("http://", "https://")):
            return _fetched(str(image), grey_bits)
        return read_image(Path(image), grey_bits)
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise InputError(f"a tensor must be (3, H, W) uint8, got {tuple(image.shape)} {image.dtype}")
        return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    return as_rgb(image)


def _fetched(address: str, grey_bits: int) -> np.ndarray:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            content = answer.read(LARGEST_DOWNLOAD + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: cannot be fetched ({error})") from error
    if len(content) > LARGEST_DOWNLOAD:
        raise InputError(f"{address}: is larger than {LARGEST_DOWNLOAD >> 20} MiB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(content)
        try:
            return read_image(path, grey_bits)
        except InputError as error:
            raise InputError(str(error).replace(str(path), address)) from error


def as_loaded(detector: LoadedDetector | Path | str, device: str = "auto") -> LoadedDetector:
    """The detector, loaded where it is a path."""
    return detector if isinstance(detector, LoadedDetector) else load(detector, device)
