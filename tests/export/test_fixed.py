"""Files of one image size: every shape is known beforehand, and the detections are the toolkit's."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from same_detections import assert_same
from sure_detector import picture, sure_detector

import detection
from detection.cli.main import main
from detection.export.onnx_file import read_onnx, write_onnx
from detection.export.openvino_file import read_openvino, write_openvino

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = (90, 70)
LATE = {"Loop", "If", "Scan", "NonZero", "SequenceEmpty", "Unique", "Compress"}
"""Operators whose outputs have shapes that only the run tells."""


@pytest.fixture
def pictures(tmp_path):
    """Four of SIZE and one of another size."""
    files = [tmp_path / f"{seed}.png" for seed in range(5)]
    for seed, file in enumerate(files):
        Image.fromarray(picture(SIZE if seed else (70, 96), seed)).save(file)
    return files


def late_shapes(graph):
    """Of each tensor whose shape is not known, the operator that it comes from, followed to its source."""
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True, data_prop=True).graph
    known = {
        each.name for each in (*inferred.value_info, *inferred.output, *inferred.input)
        if all(side.HasField("dim_value") for side in each.type.tensor_type.shape.dim)
    }  # fmt: skip
    known |= {each.name for each in graph.graph.initializer}
    sources = set()
    for node in graph.graph.node:
        if node.op_type == "Shape" and node.input[0] not in known:
            known -= set(node.output)
        if any(name not in known for name in node.output) and all(name in known for name in node.input if name):
            sources.add(node.op_type)
    return sources, [name.name for name in inferred.output if name.name not in known]


@pytest.mark.parametrize(("kind", "nchw"), [("fpn", False), ("fpn, shared boxes", True), ("dc5, legacy", False)])
def test_the_detections_are_the_same_and_shapes_are_known(kind, nchw, pictures, tmp_path):
    detector = sure_detector(kind)
    parity = write_onnx(detector, tmp_path / "a.onnx", pictures, nchw=nchw, fixed=SIZE)
    assert parity.same == parity.expected and parity.images == 4
    content = onnx.load(str(tmp_path / "a.onnx"))
    operators = {node.op_type for node in content.graph.node}
    assert not operators & LATE and {node.domain for node in content.graph.node} == {""}
    assert late_shapes(content) == ({"NonMaxSuppression"}, [])
    graph = read_onnx(tmp_path / "a.onnx")
    for seed in range(5, 12):
        image = picture(SIZE, seed)
        assert_same(graph([image])[0], detector([image])[0])
    given = image.transpose(2, 0, 1) if nchw else image
    boxes, scores, labels, count = graph.run(given[None], None)
    assert len(boxes) == len(scores) == len(labels) == detector.model.roi_stage.limits.count
    assert (labels[count[0] :] == -1).all() and not boxes[count[0] :].any() and not scores[count[0] :].any()
    assert len(graph.finding(2.0)([image])[0].boxes) == 0


def test_one_openvino_model(pictures, tmp_path):
    pytest.importorskip("openvino")
    detector = sure_detector("fpn")
    parity = write_openvino(detector, tmp_path / "a.xml", pictures, "fp32", False, "CC0", None, SIZE)
    assert parity.same == parity.expected
    graph = read_openvino(tmp_path / "a.xml")
    assert graph.about["license"] == "CC0" and json.loads(graph.about["parity"])["images"] == 4
    for seed in range(5, 12):
        image = picture(SIZE, seed)
        assert_same(graph([image])[0], detector([image])[0])


def test_int8(pictures, tmp_path):
    detector = sure_detector("fpn")
    write_onnx(detector, tmp_path / "a.onnx", pictures, "int8", fixed=SIZE)
    image = picture(SIZE, 1)
    found, expected = read_onnx(tmp_path / "a.onnx")([image])[0], detector([image])[0]
    assert len(found.boxes) > 0.7 * len(expected.boxes) > 10
    assert late_shapes(onnx.load(str(tmp_path / "a.onnx"))) == ({"NonMaxSuppression"}, [])


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_commands(backend, trained, shapes, tmp_path, capsys):
    pytest.importorskip(backend)
    shutil.copy(trained / "best.pt", tmp_path)
    words = [f"--checkpoint={tmp_path}", f"--backend={backend}", f"--images={shapes / 'val'}"]
    assert main(["export", *words, "--fixed=96x96"]) == 0
    file = tmp_path / ("best.onnx" if backend == "onnx" else "best.xml")
    counts = []
    for weights in (tmp_path / "best.pt", file):
        words = ["predict", str(shapes / "val"), f"--checkpoint={weights}", "--device=cpu", "--no-pictures"]
        assert main([*words, f"--output={tmp_path / weights.suffix}", "--score=0.01"]) == 0
        told = json.loads((tmp_path / weights.suffix / "predictions.json").read_bytes())
        counts.append([len(one["detections"]) for one in told])
    assert counts[0] == counts[1] and sum(counts[0]) > 10
    assert np.isfinite(detection.evaluate(file, data=shapes)["stats"]["AP"])

    def refused(*words, because):
        assert main([str(word) for word in words]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert because in line, line

    Image.fromarray(picture((50, 60))).save(tmp_path / "other.png")
    words = [f"--checkpoint={file}", f"--output={tmp_path / 'out'}"]
    refused("predict", tmp_path / "other.png", *words, because="an image of 50x60: an O")
    words = ["export", f"--checkpoint={tmp_path}", f"--backend={backend}", f"--images={shapes / 'val'}"]
    refused(*words, "--fixed=96x96", because="exists already")
    refused(*words, "--fixed=96", because="'96' is no size; give height x width in pixels, as 480x640")
    other = f"--output={tmp_path / ('b' + file.suffix)}"
    refused(*words, "--fixed=80x90", other, because="--fixed 80x90: none of the images to compare on has this")
    refused(*words, "--fixed=96x96", "--precision=bf16", because="--precision bf16")
    refused(*words, "--backend=torch", "--fixed=96x96", because="--fixed: has no effect on --backend torch")
    assert not list(tmp_path.glob(".*.tmp"))
