"""What runs the graphs: OpenVINO, in float32, bfloat16 or int8, and ONNX Runtime.

Both libraries are extras. Files: trunk.xml and trunk.bin, or trunk.onnx; the same for head.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from detection.errors import InputError
from detection.export.graph import Graph

PRECISIONS = {"openvino": ("fp32", "bf16", "int8"), "onnx": ("fp32",)}
"""Backend -> what it computes in, the default first."""

SUFFIX = {"openvino": ".xml", "onnx": ".onnx"}


def require(name: str) -> Any:
    """The library, or `InputError` that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"this needs the library {name}: pip install {name}") from None


def write_graph(
    backend: str, module: nn.Module, example: torch.Tensor, path: Path, calibration: Callable[[], Iterator[np.ndarray]]
) -> None:
    """Write `module`, traced on `example`, whose first axis and, for an image, sides may vary.

    calibration: inputs that decide the ranges of int8; none for other precisions.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that becomes a number: those are fixed here
        _WRITERS[backend](module.eval(), example, path, calibration)


def _write_openvino(
    module: nn.Module, example: torch.Tensor, path: Path, calibration: Callable[[], Iterator[np.ndarray]]
) -> None:
    openvino = require("openvino")
    graph = openvino.convert_model(module, example_input=example)
    inputs = list(calibration())
    if inputs:
        nncf = require("nncf")
        logging.getLogger("nncf").setLevel(logging.ERROR)
        dataset = nncf.Dataset(inputs)
        graph = nncf.quantize(graph, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(inputs))
    openvino.save_model(graph, path, compress_to_fp16=False)


def _write_onnx(
    module: nn.Module, example: torch.Tensor, path: Path, calibration: Callable[[], Iterator[np.ndarray]]
) -> None:
    require("onnx")
    axes = {0: "batch"} if example.shape[1] != 3 else {0: "batch", 2: "height", 3: "width"}
    found = module(example)
    names = [f"output{i}" for i in range(len(found) if isinstance(found, tuple) else 1)]
    torch.onnx.export(
        module,
        (example,),
        str(path),
        input_names=["input"],
        output_names=names,
        dynamic_axes={"input": axes, **{name: {0: "batch"} for name in names}},
        opset_version=17,
        dynamo=False,
    )


_WRITERS: dict[str, Callable[..., None]] = {"openvino": _write_openvino, "onnx": _write_onnx}


def read_graph(backend: str, path: Path, precision: str) -> Graph:
    """The graph of a file, ready to run on the CPU with as many threads as torch has."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; export the detector again")
    return _READERS[backend](path, precision)


def _read_openvino(path: Path, precision: str) -> Graph:
    openvino = require("openvino")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    try:
        return _Requests(openvino.Core().compile_model(path, "CPU", settings))
    except RuntimeError as error:
        raise InputError(f"{path}: not a graph that OpenVINO reads ({_first(error)}); export again") from error


class _Requests:
    """OpenVINO's compiled graph as a function. A request of it has one set of input and output memory, so every call
    takes one that no other thread uses, and copies the outputs before it is free again."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.idle = [compiled.create_infer_request()]

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        try:
            request = self.idle.pop()
        except IndexError:  # others compute at the moment
            request = self.compiled.create_infer_request()
        try:
            return [np.array(found) for found in request.infer([x], share_inputs=True, share_outputs=True).values()]
        finally:
            self.idle.append(request)


def _read_onnx(path: Path, precision: str) -> Graph:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no public base class
        raise InputError(f"{path}: not a graph that ONNX Runtime reads ({_first(error)}); export again") from error
    return lambda x: session.run(None, {"input": x})


_READERS: dict[str, Callable[[Path, str], Graph]] = {"openvino": _read_openvino, "onnx": _read_onnx}


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
