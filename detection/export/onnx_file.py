"""A whole detector in one ONNX file, and back from it.

The file takes raw images and gives detections (`detection.export.whole`), with standard operators alone, so that ONNX
Runtime in any language runs it without this toolkit. Its thresholds are an input with a default: who gives none gets
those that the file was written with. What is more to know lies in its metadata: `names` (class names in label order,
JSON), `thresholds`, `short_side`, `long_side`, `layout`, `precision`, `version`, `license`, `parity`, and `tile` and
`tile_overlap` where it was trained on tiles of larger images, which who runs it has to cut.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detection.errors import InputError
from detection.export.folding import folded
from detection.export.graph_detector import GraphDetector, Tiles, describe, fitting, least_scores
from detection.export.openvino import require
from detection.export.parity import Parity, compare
from detection.export.quantize import to_int8
from detection.export.sized import PADDED_OUTPUTS, FixedDetector
from detection.export.whole import OUTPUTS, WholeDetector
from detection.files.atomic import write_atomically
from detection.predict.detector import Detector
from detection.records import Size

OPSET = 17
EXAMPLE = (70, 96)
"""Pixels of the image that the graph is traced on; any other size is computed by the same operators."""


def write_onnx(
    detector: Detector,
    output: Path,
    images: Sequence[Path],
    precision: str = "fp32",
    nchw: bool = False,
    licence: str | None = None,
    tiles: Tiles | None = None,
    fixed: Size | None = None,
) -> Parity:
    """Write the detector into the new file `output`, held against torch on some of the images.

    precision: fp32, fp16 or int8, which takes its ranges from all of the images; tiles: see `Tiles`; fixed: (height,
    width) of the only images that the file takes, whose tensors then have shapes that are known
    (`detection.export.sized`).

    Raises `InputError` where the file exists, a library is missing, or there is no image.
    """
    onnx = require("onnx")
    require("onnxruntime")
    if output.suffix != ".onnx":
        raise InputError(f"--output {output}: ONNX is one file; give a name that ends in .onnx")
    if output.exists():
        raise InputError(f"{output}: exists already; give another file with --output")
    images, least = fitting(images, fixed), least_scores(detector)
    graph = build_graph(detector, images, precision, nchw, fixed)
    for key, value in describe(detector, precision, nchw, licence, tiles, fixed).items():
        graph.metadata_props.add(key=key, value=value)
    plain = detector.finding(min(least)).served()
    parity = compare(plain, _detector(graph.SerializeToString(), "the graph").finding(min(least)), images[:8])
    graph.metadata_props.add(key="parity", value=json.dumps(asdict(parity)))
    onnx.checker.check_model(graph)
    write_atomically(output, graph.SerializeToString())
    return parity


def build_graph(detector: Detector, images: Sequence[Path], precision: str, nchw: bool, fixed: Size | None) -> Any:
    """The ONNX model without metadata; see `write_onnx`."""
    half = precision == "fp16"
    if fixed is None:
        graph = _traced(WholeDetector(detector, nchw, half), least_scores(detector), EXAMPLE)
    else:
        graph = folded(
            _traced(FixedDetector(detector, fixed, nchw, half), least_scores(detector), fixed, PADDED_OUTPUTS)
        )
    return to_int8(graph, images, nchw, detector.grey_bits) if precision == "int8" else graph


def _traced(whole: WholeDetector, least: Sequence[float], size: Size, fixed: Sequence[str] | None = None) -> Any:
    """The graph, with the thresholds as the default of its second input. fixed: names of the outputs where images have
    this size always."""
    onnx = require("onnx")
    nchw, content = whole.nchw, io.BytesIO()
    shape = (1, 3, *size) if nchw else (1, *size, 3)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    sides = {2: "height", 3: "width"} if nchw else {1: "height", 2: "width"}
    varying = {"images": {0: "batch", **sides}, **{name: {0: "detections"} for name in OUTPUTS}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that becomes a number: those are fixed here
        torch.onnx.export(
            whole.eval(),
            (image, torch.tensor(least, dtype=torch.float32)),
            content,  # type: ignore[arg-type]
            input_names=["images", "thresholds"],
            output_names=list(fixed or OUTPUTS),
            dynamic_axes=None if fixed else varying,
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

    def run(images: np.ndarray, thresholds: np.ndarray | None) -> Any:
        more = {} if thresholds is None else {"thresholds": thresholds}
        return session.run(None, {"images": images, **more})

    return GraphDetector.of(run, ".onnx", session.get_modelmeta().custom_metadata_map, name)
