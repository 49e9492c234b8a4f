"""One image through exported files: this toolkit's against torchvision's own export of the same weights."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.measuring import Table, alternate, in_fresh_process, resident
from benchmarks.peers import CLASSES, pictures, same_in_toolkit, torchvision_detector
from detection.api.load import READERS
from detection.experiments.report import Report
from detection.export.onnx_file import OPSET, write_onnx
from detection.export.openvino_file import write_openvino
from detection.export.torch_file import write_torch
from detection.geometry.boxes import iou
from detection.predict.detector import Detector

PEER = "torchvision's ONNX file"
FILES = {
    "toolkit's ONNX file": "fp32.onnx",
    "toolkit's ONNX file, int8": "int8.onnx",
    "toolkit's ONNX file of one size": "fixed.onnx",
    "toolkit's OpenVINO model of one size": "fp32.xml",
    "toolkit's OpenVINO model of one size, int8": "int8.xml",
    "toolkit's .pt2 file": "fp32.pt2",
}
WORK = "ResNet-50-FPN"
CALIBRATION = 8


def measure(data: str | None, rounds: int, command: list[str]) -> Report:
    """data: a folder of pictures, of which the first is looked at."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = in_fresh_process(_in_turn, data, rounds, folder)
        memory = {side: in_fresh_process(_memory, folder, side) for side in (PEER, *FILES)}
    rows = ", ".join(f"{side} {megabytes:.0f} MB" for side, megabytes in memory.items())
    text = f"""ResNet-50-FPN, one image of 800 pixels on the shorter side, 80 classes, the same weights, random but for
the scale of signals; ONNX files on ONNX Runtime. torchvision's file takes floats of an image that has its size already;
the toolkit's take bytes. Those for any size resize them, which is part of the time; those of one size were made for
this image's, which needs no resize. `same` counts detections of torchvision in torch that the other has too, of one
class and with an IoU of .9.

{table.text()}

Peak memory of a process that loads the file and looks at the image three times: {rows}."""
    numbers: dict[str, Any] = {"time": table.numbers, "memory_mb": memory}
    return Report("benchmark_onnx", "Speed of ONNX files", command, numbers, text, {})


@torch.inference_mode()
def _in_turn(data: str | None, rounds: int, folder: Path) -> Table:
    """Write the files, and run all sides in turn. For a fresh process."""
    images = pictures(data, CALIBRATION, 800, 1333)
    peer = torchvision_detector()
    detector = Detector(
        same_in_toolkit(peer).eval(), tuple(map(str, range(CLASSES))), 800, 1333, torch.device("cpu")
    ).served()
    peer = peer.eval()
    paths = []
    for k, image in enumerate(images):
        paths.append(folder / f"{k}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(paths[-1])
    write_torchvision(peer, images[0].float() / 255, folder / "torchvision.onnx")
    size = (images[0].shape[1], images[0].shape[2])
    write_onnx(detector, folder / "fp32.onnx", paths[:1])
    write_onnx(detector, folder / "int8.onnx", paths, "int8")
    write_onnx(detector, folder / "fixed.onnx", paths[:1], fixed=size)
    for precision in ("fp32", "int8"):
        write_openvino(detector, folder / f"{precision}.xml", paths, precision, False, None, None, size)
    write_torch(detector, folder / "fp32.pt2", paths[:1])
    sides = {side: _session(folder, side, images[0]) for side in (PEER, *FILES)}
    pixels = images[0].permute(1, 2, 0).numpy()
    sides |= {
        "torchvision in torch": partial(peer, [images[0].float() / 255]),
        "toolkit in torch": lambda: detector([pixels]),
    }
    expected = peer([images[0].float() / 255])[0]
    notes = {name: _same(expected, run()) for name, run in sides.items() if "int8" not in name}
    table = Table(PEER)
    table.add(WORK, alternate(sides, rounds), notes)
    return table


def write_torchvision(peer: torch.nn.Module, image: Tensor, path: Path) -> None:
    """As torchvision's documentation exports its detectors, with sizes that may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            peer,
            ([image],),
            str(path),
            input_names=["image"],
            output_names=["boxes", "labels", "scores"],
            dynamic_axes={"image": {1: "height", 2: "width"}},
            opset_version=OPSET,
            dynamo=False,
        )


def _session(folder: Path, side: str, image: Tensor) -> Callable[[], Any]:
    """A function that runs the file of a side on a (3, H, W) uint8 image."""
    if side == PEER:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(folder / "torchvision.onnx"), options)
        given = {"image": (image.float() / 255).numpy()}
        return lambda: session.run(None, given)
    graph = READERS[Path(FILES[side]).suffix](folder / FILES[side])
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return lambda: graph([pixels])


def _memory(folder: Path, side: str) -> float:
    """MB that a process touches at most. For a fresh process."""
    with Image.open(folder / "0.png") as opened:
        image = torch.from_numpy(np.array(opened)).permute(2, 0, 1)
    run = _session(folder, side, image)
    for _ in range(3):
        run()
    return resident()


def _same(expected: dict[str, Tensor], found: Any) -> str:
    first = found[0]
    if isinstance(first, np.ndarray):  # of torchvision's file
        boxes, labels = torch.from_numpy(first), torch.from_numpy(found[1]) - 1
    elif isinstance(first, dict):
        boxes, labels = first["boxes"], first["labels"] - 1
    else:
        boxes, labels = first.boxes, first.labels
    overlap = iou(expected["boxes"], boxes) * (expected["labels"][:, None] - 1 == labels[None])
    return f"{int((overlap.amax(1) >= 0.9).sum())} of {len(expected['boxes'])} the same"
