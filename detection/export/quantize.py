"""A graph of one file in eight bits: its convolutions and matrices, with ranges taken from images."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.image import read_image
from detection.export.openvino import require
from detection.progress import track

LAST = ("objectness", "deltas", "predictor")
"""Layers whose outputs are scores and boxes: they cost little, and stay in float."""


def to_int8(graph: Any, images: Sequence[Path], nchw: bool, grey_bits: int) -> Any:
    """The ONNX model with weights by channel and features in eight bits, as standard QuantizeLinear operators.

    The resize, proposals, pooling, suppression and the last layers stay as they are. images: features get the range
    that they have in these, each decoded with `grey_bits`.
    """
    require("onnxruntime")
    onnx = require("onnx")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._paths = iter(track(images, "calibrating", len(images)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            path = next(self._paths, None)
            if path is None:
                return None
            image = read_image(path, grey_bits)
            return {"images": np.ascontiguousarray(image.transpose(2, 0, 1) if nchw else image)[None]}

    nodes = [node for node in graph.graph.node if node.op_type in ("Conv", "Gemm")]
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        quantize_static(
            graph,
            f"{folder}/int8.onnx",
            Images(),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=[node.name for node in nodes if not any(name in node.name for name in LAST)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        found = onnx.load(f"{folder}/int8.onnx")
    del found.metadata_props[:]  # says which tool made it
    return found


@contextmanager
def _without_advice() -> Iterator[None]:
    """ONNX Runtime advises steps that this graph does not need."""
    runtime = require("onnxruntime")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    runtime.set_default_logger_severity(3)
    try:
        yield
    finally:
        runtime.set_default_logger_severity(2)
        logging.disable(before)
