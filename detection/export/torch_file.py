"""A whole detector as one file of `torch.export`, and back from it.

The program takes and gives what the ONNX file does (`detection.export.whole`), but `thresholds` must be given. Who
loads it imports torchvision first, whose RoIAlign and suppression it calls. `detector.json` among its extra files has
the metadata, the same as those of the ONNX file.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401  registers its operators

from detection.errors import InputError
from detection.export.graph_detector import GraphDetector, Tiles, describe, fitting, least_scores
from detection.export.parity import Parity, compare
from detection.export.torch_graph import TorchDetector
from detection.files.atomic import write_atomically
from detection.predict.detector import Detector

ABOUT = "detector.json"
EXAMPLE = (2, 70, 96)
"""Images, height and width that the program is traced with; each of the three may be any other."""
TESTED = "2.14"
"""The version of torch that this was tested with."""


def write_torch(
    detector: Detector,
    output: Path,
    images: Sequence[Path],
    nchw: bool = False,
    licence: str | None = None,
    tiles: Tiles | None = None,
) -> Parity:
    """Write the detector into the new file `output`, held against it as it was on some of the images.

    Raises `InputError` where the file exists, there is no image, or this torch cannot export it.
    """
    if output.suffix != ".pt2":
        raise InputError(f"--output {output}: give a name that ends in .pt2")
    if output.exists():
        raise InputError(f"{output}: exists already; give another file with --output")
    images = fitting(images, None)
    least, about = least_scores(detector), describe(detector, "fp32", nchw, licence, tiles)
    program = _exported(TorchDetector(detector, nchw), nchw, least)
    graph = GraphDetector.of(_runner(program, least), ".pt2", about, "the program")
    parity = compare(detector.finding(min(least)).served(), graph.finding(min(least)), images[:8])
    content = io.BytesIO()
    known = json.dumps({**about, "parity": json.dumps(asdict(parity))})
    torch.export.save(program, content, extra_files={ABOUT: known})
    write_atomically(output, content.getvalue())
    return parity


def _exported(whole: TorchDetector, nchw: bool, least: Sequence[float]) -> Any:
    count, height, width = EXAMPLE
    shape = (count, 3, height, width) if nchw else (count, height, width, 3)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    names = ("batch", "channels", "height", "width") if nchw else ("batch", "height", "width")
    sides = {k: torch.export.Dim(name, min=1) for k, name in enumerate(names) if name != "channels"}
    with torch.no_grad(), _quietly():
        try:
            return torch.export.export(
                whole.eval().requires_grad_(False),
                (images, torch.tensor(least, dtype=torch.float32)),
                dynamic_shapes={"images": sides, "thresholds": None},
                strict=False,
            )
        except Exception as error:  # of many kinds, by version
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"--backend torch: torch {torch.__version__} cannot export it ({line}); install torch {TESTED} or newer"
            ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch and torchvision say to each other."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _runner(program: Any, least: Sequence[float]) -> Any:
    call = program.module()
    own = torch.tensor(least, dtype=torch.float32)

    @torch.no_grad()
    def run(images: np.ndarray, thresholds: np.ndarray | None) -> Any:
        return call(torch.as_tensor(images), own if thresholds is None else torch.from_numpy(thresholds))

    return run


def read_torch(path: Path) -> GraphDetector:
    """The detector of a file. Raises `InputError` where it is none of ours, or cannot be read."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    extra = {ABOUT: ""}
    try:
        with _quietly():
            program = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=extra)
    except Exception as error:  # of many kinds, by what is damaged
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: no program that torch {torch.__version__} reads ({line}); export again") from error
    try:
        about = json.loads(extra[ABOUT])
        least = tuple(map(float, json.loads(about["thresholds"])))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no detector of `frcnn export`: it has no {ABOUT}") from error
    return GraphDetector.of(_runner(program, least), ".pt2", about, str(path))
