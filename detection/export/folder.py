"""A detector exported into a folder, and back from it.

export.json   backend, precision, and how far its detections are from torch's
model.pt      the checkpoint: classes, settings, and the weights of what torch computes
trunk.*, head.*   the graphs
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection.data.image import read_image
from detection.errors import InputError
from detection.export.graph import HeadGraph, TrunkGraph, with_graphs
from detection.export.openvino import PRECISIONS, SUFFIX, read_graph, write_graph
from detection.export.parity import Parity, compare
from detection.predict.detector import Detector, to_sample
from detection.predict.prepare import prepare
from detection.progress import track
from detection.records import collate

FORMAT = 1
CALIBRATION_REGIONS = 64
"""Regions of each image whose features decide the ranges of the head."""


@dataclass(frozen=True)
class Export:
    """What an export folder says of itself."""

    backend: str
    precision: str
    parity: Parity
    format: int = FORMAT


def export(detector: Detector, source: Path, output: Path, precision: str, images: Sequence[Path]) -> Export:
    """Write the detector of the checkpoint `source` into the new folder `output`.

    images: int8 takes its ranges from them, and on some of them the exported detector is held against torch. Raises
    `InputError` where the folder exists or a library is missing.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; give another folder with --output")
    if not images:
        raise InputError("export: needs at least one image to compare on; give some with --images")
    draft = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        _write_graphs(detector, draft, precision, images)
        shutil.copyfile(source, draft / "model.pt")
        exported = replace(detector, model=_served(detector, draft, precision))
        told = Export("openvino", precision, compare(detector, exported, images[:8]))
        (draft / "export.json").write_text(json.dumps(asdict(told), indent=1) + "\n", encoding="utf-8")
        os.replace(draft, output)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); give a path in a writable folder") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return told


def read_export(folder: Path) -> Export:
    """What the folder holds. Raises `InputError` where it is no export."""
    path = folder / "export.json"
    try:
        content: Any = json.loads(path.read_bytes())
        told = Export(**{**content, "parity": Parity(**content["parity"])})
    except OSError as error:
        raise InputError(f"{folder}: no exported detector ({path.name}: {error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not what `frcnn export` wrote ({error}); export again") from error
    if told.format != FORMAT or (told.backend, told.precision) not in [("openvino", each) for each in PRECISIONS]:
        raise InputError(f"{path}: of another version of this toolkit; export again")
    return told


def load_export(folder: Path, detector: Detector) -> Detector:
    """The detector of `folder`; `detector` is that of its model.pt."""
    told = read_export(folder)
    return replace(detector, model=_served(detector, folder, told.precision))


def _served(detector: Detector, folder: Path, precision: str) -> Any:
    trunk, head = (read_graph(folder / f"{name}{SUFFIX}", precision) for name in ("trunk", "head"))
    return with_graphs(prepare(detector.model), trunk, head)


def _write_graphs(detector: Detector, folder: Path, precision: str, images: Sequence[Path]) -> None:
    serving = replace(detector, model=prepare(detector.model))
    model, calibrated = serving.model, images if precision == "int8" else ()

    def inputs() -> Iterator[np.ndarray]:
        return (
            _normalised(serving, path).contiguous().numpy()
            for path in track(calibrated, "calibrating", len(calibrated))
        )

    def features() -> Iterator[np.ndarray]:
        return (_pooled(serving, path).numpy() for path in track(calibrated, "calibrating", len(calibrated)))

    image = _normalised(serving, images[0])
    write_graph(TrunkGraph(model), image.contiguous(), folder / f"trunk{SUFFIX}", inputs)
    write_graph(HeadGraph(model), _pooled(serving, images[0]), folder / f"head{SUFFIX}", features)


def _normalised(detector: Detector, path: Path) -> torch.Tensor:
    sample = to_sample(read_image(path, detector.grey_bits), detector.short_side, detector.long_side)
    return detector.model.normalise(collate([sample], detector.model.size_multiple))


@torch.no_grad()
def _pooled(detector: Detector, path: Path) -> torch.Tensor:
    """(R, S, S, C) pooled features of regions spread over the ranks of the proposals."""
    model = detector.model
    batch = collate(
        [to_sample(read_image(path, detector.grey_bits), detector.short_side, detector.long_side)], model.size_multiple
    )
    maps = model.maps(batch)
    boxes = model.propose(model.rpn(maps), batch, model.test_limits)[0].boxes
    some = boxes[:: max(1, len(boxes) // CALIBRATION_REGIONS)][:CALIBRATION_REGIONS]
    whole = boxes.new_tensor([[0, 0, batch.sizes[0][1], batch.sizes[0][0]]])  # at least one, whatever is proposed
    pooled = model.roi_stage.pooler(model.region_maps(maps), [torch.cat([some, whole])])
    return pooled.permute(0, 2, 3, 1).contiguous()
