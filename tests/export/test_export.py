"""Exported detectors find what torch finds; what is no export, or cannot run, is refused in one line."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import detection
from detection.cli.main import main

pytestmark = pytest.mark.thorough


def detections(folder):
    return json.loads((folder / "predictions.json").read_bytes())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_export_predicts_and_evaluates(precision, trained, shapes, tmp_path, capsys):
    pytest.importorskip("openvino")
    images, exported = str(shapes / "val"), tmp_path / "exported"
    options = ["--backend", "openvino", "--precision", precision, "--images", images, "--output", str(exported)]
    assert main(["export", "--checkpoint", str(trained / "best.pt"), *options]) == 0
    for name, checkpoint in (("torch", trained / "best.pt"), ("graphs", exported)):
        predict = ["predict", images, "--checkpoint", str(checkpoint), "--output", str(tmp_path / name)]
        assert main([*predict, "--score", "0.0", "--no-pictures", "--device", "cpu"]) == 0
    expected, found = detections(tmp_path / "torch"), detections(tmp_path / "graphs")
    assert [r["file"] for r in expected] == [r["file"] for r in found]
    if precision == "fp32":
        for one, other in zip(expected, found):
            assert len(one["detections"]) == len(other["detections"]) > 0
            for a, b in zip(one["detections"], other["detections"]):
                assert abs(a["score"] - b["score"]) < 1e-4
    assert main(["evaluate", "--checkpoint", str(exported), "--device", "cpu"]) == 0
    told = json.loads((exported / "export.json").read_bytes())
    assert (told["backend"], told["precision"]) == ("openvino", precision)
    if precision == "fp32":
        assert told["parity"]["same"] == told["parity"]["expected"]


def refused(arguments, capsys, *words):
    assert main(arguments) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and all(word in line for word in words), line


def test_refusals(trained, shapes, tmp_path, capsys):
    pytest.importorskip("openvino")
    best, images, output = str(trained / "best.pt"), str(shapes / "val"), tmp_path / "out"
    start = ["export", "--checkpoint", best, "--images", images, "--output", str(output), "--backend", "openvino"]
    refused([*start, "--license", "MIT"], capsys, "--license: has no effect on --backend openvino")
    refused(["predict", images, "--checkpoint", str(shapes)], capsys, "no exported detector", "export.json")
    assert not output.exists()
    assert main(start) == 0
    capsys.readouterr()
    refused(start, capsys, f"{output}: exists already")
    for damage, words in ((b"{}", ["not what `frcnn export` wrote"]), (b"[", ["not what `frcnn export` wrote"])):
        (output / "export.json").write_bytes(damage)
        refused(["predict", images, "--checkpoint", str(output)], capsys, str(output / "export.json"), *words)
    shutil.rmtree(output)
    assert main(start) == 0
    capsys.readouterr()
    (output / "trunk.xml").write_bytes(b"no graph")
    refused(["predict", images, "--checkpoint", str(output)], capsys, "trunk.xml: not a graph that OpenVINO reads")
    (output / "trunk.xml").unlink()
    refused(["predict", images, "--checkpoint", str(output)], capsys, "trunk.xml: is missing")


@pytest.mark.parametrize("backend", ["openvino", "onnx"])
def test_threads_share_an_exported_detector(backend, trained, shapes, tmp_path):
    pytest.importorskip("openvino" if backend == "openvino" else "onnxruntime")
    words = ["--checkpoint", str(trained / "best.pt"), "--images", str(shapes / "val"), "--backend", backend]
    place = tmp_path / ("exported" if backend == "openvino" else "exported.onnx")
    assert main(["export", *words, "--output", str(place)]) == 0
    detector = detection.load(place, device="cpu")
    images = sorted((shapes / "train").iterdir()) * 8
    alone = [detector(path) for path in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector, images))
    for one, other in zip(alone, together):
        assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.scores, other.scores)
