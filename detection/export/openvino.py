"""What runs the graphs of an export folder: OpenVINO, in float32, bfloat16 or int8. It is an extra."""

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

PRECISIONS = ("fp32", "bf16", "int8")
SUFFIX = ".xml"


def require(name: str) -> Any:
    """The library, or `InputError` that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"this needs the library {name}: pip install {name}") from None


def write_graph(
    module: nn.Module, example: torch.Tensor, path: Path, calibration: Callable[[], Iterator[np.ndarray]]
) -> None:
    """Write `module`, traced on `example`, whose first axis and, for an image, sides may vary.

    calibration: inputs that decide the ranges of int8; none for other precisions.
    """
    openvino = require("openvino")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that becomes a number: those are fixed here
        graph = openvino.convert_model(module.eval(), example_input=example)
        inputs = list(calibration())
        if inputs:
            nncf = require("nncf")
            logging.getLogger("nncf").setLevel(logging.ERROR)
            dataset = nncf.Dataset(inputs)
            graph = nncf.quantize(graph, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(inputs))
        openvino.save_model(graph, path, compress_to_fp16=False)


def read_graph(path: Path, precision: str) -> Graph:
    """The graph of a file, ready to run on the CPU with as many threads as torch has."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; export the detector again")
    try:
        return Requests(compiled(path, "bf16" if precision == "bf16" else "f32"))
    except RuntimeError as error:
        raise InputError(f"{path}: not a graph that OpenVINO reads ({_first(error)}); export again") from error


def compiled(model: Any, precision: str) -> Any:
    """A model of OpenVINO, or the path of one, made ready for the CPU. precision: f32 or bf16, of its products."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return require("openvino").Core().compile_model(model, "CPU", settings)


class Requests:
    """OpenVINO's compiled graph as a function. A request of it has one set of input and output memory, so every call
    takes one that no other thread uses, and copies the outputs before it is free again."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.idle = [compiled.create_infer_request()]

    def __call__(self, *given: np.ndarray) -> list[np.ndarray]:
        try:
            request = self.idle.pop()
        except IndexError:  # others compute at the moment
            request = self.compiled.create_infer_request()
        try:
            return [
                np.array(found) for found in request.infer(list(given), share_inputs=True, share_outputs=True).values()
            ]
        finally:
            self.idle.append(request)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
