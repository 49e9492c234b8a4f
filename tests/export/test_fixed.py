"""The detector for one size of image: every output's shape is known beforehand, and it finds what the toolkit finds."""

import io
import warnings

import numpy as np
import pytest
import torch
from export.test_onnx import picture, sure_detector
from same_detections import assert_same

from detection.export.sized import PADDED_OUTPUTS, FixedDetector
from detection.records import Detections

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("kind", ["fpn", "c4, pooled, context"])
def test_shapes_are_known_and_detections_the_same(kind):
    detector, size = sure_detector(kind), (90, 120)
    given = (torch.zeros(1, *size, 3, dtype=torch.uint8), torch.full((3,), 0.05))
    content = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["images", "thresholds"], "output_names": list(PADDED_OUTPUTS)}
        whole = FixedDetector(detector, size).eval()
        torch.onnx.export(whole, given, content, opset_version=17, dynamo=False, **names)
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(content.getvalue()), True, True, True)
    used = {node.op_type for node in graph.graph.node}
    assert not used & {"NonZero", "If", "Loop"}, used
    for output in graph.graph.output:
        assert all(side.dim_value > 0 for side in output.type.tensor_type.shape.dim), output.name
    session = runtime.InferenceSession(content.getvalue(), providers=["CPUExecutionProvider"])
    total = 0
    for seed in range(4):
        image = picture(size, seed)
        feeds = {"images": image[None], "thresholds": np.full(3, 0.05, np.float32)}
        boxes, scores, labels, count = map(torch.from_numpy, session.run(None, feeds))
        found = int(count[0])
        assert not scores[found:].any() and (labels[found:] == -1).all()
        assert_same(Detections(boxes[:found], scores[:found], labels[:found], size), detector([image])[0])
        total += found
    assert total > 10
