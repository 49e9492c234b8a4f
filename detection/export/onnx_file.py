"""A whole detector in one ONNX file, and back from it.

The file takes raw images and gives detections (`detection.export.whole`), with standard operators alone, so that ONNX
Runtime in any language runs it without this toolkit. Its thresholds are an input with a default: who gives none gets
those that the file was written with. What is more to know lies in its metadata: `names` (class names in label order,
JSON), `thresholds`, `short_side`, `long_side`, `layout`, `precision`, `version`, `license`, `parity`,
and `tile` (0: none) and `tile_overlap` where it was trained on tiles of larger images, which who runs it has to cut.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection import __version__
from detection.data.image import as_rgb
from detection.errors import InputError
from detection.export.openvino import require
from detection.export.parity import Parity, compare
from detection.export.quantize import to_int8
from detection.export.whole import OUTPUTS, WholeDetector
from detection.files.atomic import write_atomically
from detection.predict.detector import Detector
from detection.records import Detections

OPSET = 17
EXAMPLE = (70, 96)
"""Pixels of the image that the graph is traced on; any other size is computed by the same operators."""


@dataclass(frozen=True)
class GraphDetector:
    """The detector of a file, which runs as `Detector` does, one image at a time.

    session: of ONNX Runtime; layout: nhwc or nchw; lowest: score of a detection that evaluation counts; thresholds: by
    label, those of the file; least: those that are asked of it, None for its own; tile, tile_overlap: of the tiles that
    it was trained on.
    """

    session: Any
    class_names: tuple[str, ...]
    short_side: int
    long_side: int
    layout: str
    lowest: float
    thresholds: tuple[float, ...]
    least: tuple[float, ...] | None = None
    grey_bits: int = 16
    tile: int | None = None
    tile_overlap: float = 0.2
    device: torch.device = torch.device("cpu")

    def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Detections of each image, as those of `Detector`."""
        return self.detect([self.prepare(image) for image in images])

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return as_rgb(image)

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> Detections:
        given = np.ascontiguousarray(image if self.layout == "nhwc" else image.transpose(2, 0, 1))[None]
        more = {} if self.least is None else {"thresholds": np.array(self.least, np.float32)}
        boxes, scores, labels, _ = map(torch.from_numpy, self.session.run(None, {"images": given, **more}))
        return Detections(boxes, scores, labels, (image.shape[0], image.shape[1]))

    def at(self, short_side: int | None) -> GraphDetector:
        if short_side not in (None, self.short_side):
            raise InputError(f"--size {short_side}: the file was exported with {self.short_side}; export again at that")
        return self

    def served(self, compiled: bool = False) -> GraphDetector:
        if compiled:
            raise InputError("--compiled: an ONNX file is not compiled by torch; leave it out")
        return self

    def finding(self, least: float | None = None, count: int | None = None) -> GraphDetector:
        if count is not None:
            raise InputError("--max-detections: an ONNX file keeps the number that it was exported with; leave it out")
        return self if least is None else replace(self, least=(least,) * len(self.class_names))


def write_onnx(
    detector: Detector,
    output: Path,
    images: Sequence[Path],
    precision: str = "fp32",
    nchw: bool = False,
    licence: str | None = None,
    tiles: tuple[int, float] | None = None,
) -> Parity:
    """Write the detector into the new file `output`, held against torch on some of the images.

    precision: fp32, fp16 or int8, which takes its ranges from all of the images; tiles: side and overlap of those
    that it was trained on.

    Raises `InputError` where the file exists, a library is missing, or there is no image.
    """
    onnx = require("onnx")
    require("onnxruntime")
    if output.suffix != ".onnx":
        raise InputError(f"--output {output}: ONNX is one file; give a name that ends in .onnx")
    if output.exists():
        raise InputError(f"{output}: exists already; give another file with --output")
    if not images:
        raise InputError("export: needs at least one image to compare on; give some with --images")
    least = detector.thresholds or (detector.model.roi_stage.limits.score,) * len(detector.class_names)
    graph = _traced(detector, least, nchw, precision == "fp16")
    if precision == "int8":
        graph = to_int8(graph, images, nchw, detector.grey_bits)
    about = {
        "names": json.dumps(detector.class_names),
        "thresholds": json.dumps([round(float(t), 6) for t in least]),
        "short_side": str(detector.short_side),
        "long_side": str(detector.long_side),
        "layout": "nchw" if nchw else "nhwc",
        "score": str(detector.model.roi_stage.limits.score),
        "precision": precision,
        "grey_bits": str(detector.grey_bits),
        "version": f"frcnn-toolkit {__version__}",
        "license": licence or "not stated",
    }
    if tiles is not None:
        about |= {"tile": str(tiles[0]), "tile_overlap": str(tiles[1])}
    for key, value in about.items():
        graph.metadata_props.add(key=key, value=value)
    plain = detector.finding(min(least)).served()
    parity = compare(plain, _detector(graph.SerializeToString(), "the graph").finding(min(least)), images[:8])
    graph.metadata_props.add(key="parity", value=json.dumps(asdict(parity)))
    onnx.checker.check_model(graph)
    write_atomically(output, graph.SerializeToString())
    return parity


def _traced(detector: Detector, least: Sequence[float], nchw: bool, half: bool) -> Any:
    """The graph, with the thresholds as the default of its second input."""
    onnx = require("onnx")
    whole, content = WholeDetector(detector, nchw, half).eval(), io.BytesIO()
    shape = (1, 3, *EXAMPLE) if nchw else (1, *EXAMPLE, 3)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    sides = {2: "height", 3: "width"} if nchw else {1: "height", 2: "width"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that becomes a number: those are fixed here
        torch.onnx.export(
            whole,
            (image, torch.tensor(least, dtype=torch.float32)),
            content,  # type: ignore[arg-type]
            input_names=["images", "thresholds"],
            output_names=list(OUTPUTS),
            dynamic_axes={"images": {0: "batch", **sides}, **{name: {0: "detections"} for name in OUTPUTS}},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(content.getvalue())
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(least, np.float32), "thresholds"))
    return graph


def read_onnx(path: Path) -> GraphDetector:
    """The detector of a file. Raises `InputError` where it is none of ours, or cannot be read."""
    require("onnxruntime")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    return _detector(path.read_bytes(), str(path))


def _detector(content: bytes, name: str) -> GraphDetector:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no public base class
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name}: not a graph that ONNX Runtime reads ({line}); export again") from error
    about = session.get_modelmeta().custom_metadata_map
    try:
        return GraphDetector(
            session,
            tuple(json.loads(about["names"])),
            int(about["short_side"]),
            int(about["long_side"]),
            about["layout"],
            float(about["score"]),
            tuple(json.loads(about["thresholds"])),
            grey_bits=int(about["grey_bits"]),
            tile=int(about["tile"]) if "tile" in about else None,
            tile_overlap=float(about.get("tile_overlap", 0.2)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{name}: is no detector of `frcnn export`: its metadata lacks {error}") from error
