"""A graph of fixed shapes without what computes shapes."""

from __future__ import annotations

import tempfile
from typing import Any

from detection.export.openvino import require


def folded(graph: Any) -> Any:
    """The ONNX model with everything computed beforehand that no input decides, in standard operators as before.

    ONNX Runtime does so where it prepares a graph to be run; of its levels this one knows standard operators alone.
    """
    onnx, runtime = require("onnx"), require("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/folded.onnx"
        options.log_severity_level = 3
        runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = onnx.load(options.optimized_model_filepath)
    standard = [each for each in found.opset_import if not each.domain]  # of others it lists all that it knows
    del found.opset_import[:]
    found.opset_import.extend(standard)
    del found.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(found, strict_mode=True, data_prop=True)
