"""A detector that was trained on tiles looks at tiles wherever it goes, and finds the same there."""

import json

import numpy as np
import pytest

import detection
from detection.cli.main import main

TOLD = "tiles of 48 pixels that share 0.25 of their side, and whole images, as in training"


@pytest.fixture(scope="module")
def run(shapes, tiny, tmp_path_factory):
    """A detector of tiles, whose weights find something."""
    folder = tmp_path_factory.mktemp("tiles") / "run"
    options = ["--input.tile=48", "--input.tile_overlap=0.25", "--evaluate.report=true"]
    assert main(["train", *tiny, *options, f"--data={shapes}", f"--output={folder}"]) == 0
    return folder


def found_by_predict(folder):
    """Of each image its detections, (n, 6): x1 y1 x2 y2 score label."""
    records = json.loads((folder / "predictions.json").read_text())
    return [np.array([(*d["box"], d["score"], d["label"]) for d in record["detections"]]) for record in records]


def found_by_evaluation(folder):
    found = [[] for _ in range(3)]
    for row in json.loads((folder / "predictions.json").read_text()):
        x, y, width, height = row["bbox"]
        found[row["image_id"] - 1].append((x, y, x + width, y + height, row["score"], row["category_id"] - 1))
    return [np.array(each) for each in found]


def same(one, other):
    """Boxes of both are written with three decimals, in one with the sides."""
    return all(a.shape == b.shape and np.abs(a - b).max() < 0.003 for a, b in zip(one, other, strict=True))


def test_training_evaluation_prediction_and_python_agree(run, shapes, tmp_path, capsys):
    files = [str(shapes / "val"), f"--checkpoint={run}", "--score=0.05", "--no-pictures"]
    assert main(["predict", *files, f"--output={tmp_path / 'same'}"]) == 0
    assert f"{TOLD} (--tile 0: whole images alone)" in capsys.readouterr().out
    assert main(["predict", *files, f"--output={tmp_path / 'whole'}", "--tile=0"]) == 0
    assert main(["predict", *files, f"--output={tmp_path / 'asked'}", "--tile=48", "--overlap=0.25"]) == 0
    assert main(["evaluate", f"--checkpoint={run}", f"--output={tmp_path / 'scored'}"]) == 0
    told = capsys.readouterr().out
    assert TOLD in told and "no report: this detector looks at tiles" in told and "val: rpn_objectness" in told
    found = found_by_predict(tmp_path / "same")
    assert sum(map(len, found)) > 50 and same(found, found_by_predict(tmp_path / "asked"))
    assert not same(found, found_by_predict(tmp_path / "whole"))
    assert same(found, found_by_evaluation(run)) and same(found, found_by_evaluation(tmp_path / "scored"))
    loaded = detection.load(run, device="cpu")
    boxes = [prediction.boxes.tolist() for prediction in loaded([*sorted((shapes / "val").iterdir())], score=0.05)]
    assert [len(each) for each in boxes] == [len(each) for each in found] and "tiles of 48" in repr(loaded)
    scored = json.loads((tmp_path / "scored" / "evaluation.json").read_text())
    assert detection.evaluate(loaded, workers=0)["stats"] == scored["stats"]


def test_the_onnx_file_and_the_service_follow(run, shapes, tmp_path):
    pytest.importorskip("onnxruntime")
    assert main(["export", f"--checkpoint={run}", "--count=1", f"--output={tmp_path / 'a.onnx'}"]) == 0
    image = sorted((shapes / "val").iterdir())[0]
    one, other = (detection.load(path, device="cpu") for path in (run, tmp_path / "a.onnx"))
    assert other.config.input.tile == 48 and other.config.input.tile_overlap == 0.25
    assert len(one(image, score=0.1).boxes) == len(other(image, score=0.1).boxes) > 0
    testing = pytest.importorskip("fastapi.testclient")
    from detection.serve.app import create_app
    from detection.serve.models import Service

    with testing.TestClient(create_app({"cells": one}, Service())) as client:
        assert client.get("/models").json()[0]["tile"] == 48
        answer = client.post("/predict?score=0.1", content=image.read_bytes()).json()
    assert len(answer["images"][0]["detections"]) == len(one(image, score=0.1).boxes)


@pytest.mark.parametrize(
    ("command", "because"),
    [
        ("report {run}", "looks at tiles"),
        ("check-data --data={data} --model={run}", "looks at tiles"),
        ("train {tiny} --data={data} --input.tile=48 --folds=2", "looks at tiles"),
        ("train {tiny} --data={data} --input.tile=31", "input.tile: 31 is out of range"),
        ("train {tiny} --data={data} --input.tile=48 --input.tile_overlap=0.9", "input.tile_overlap: 0.9 is out of"),
        ("train {tiny} --data={data} --input.tile=48 --model.anchors.sizes=[[80],[90],[100],[110],[120]]", "become 64"),
        ("train {tiny} --data={data} --input.tile=48 --train.mode=alternating --model.norm=group", "alternating"),
        ("predict {data}/val --checkpoint={run} --tile=0 --overlap=0.3", "no effect without --tile"),
    ],
)
def test_refusals(run, shapes, tiny, tmp_path, capsys, command, because):
    places = {"run": run, "data": shapes, "tiny": " ".join(tiny)}
    words = command.format(**places).split()
    output = [] if words[0] == "check-data" else [f"--output={tmp_path / 'out'}"]
    assert main([*words, *output]) == 2
    error = capsys.readouterr().err
    assert because in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "last.pt").exists()
