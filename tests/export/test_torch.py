"""One .pt2 file finds what the toolkit finds, in images of any size, alone and in batches, with torch alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from same_detections import assert_same
from sure_detector import SIZES, picture, sure_detector

import detection
from detection.cli.main import main
from detection.export.torch_file import read_torch, write_torch
from detection.records import Detections

pytestmark = pytest.mark.thorough

PROGRAM = """
import json, sys
import torch, torchvision
about = {"detector.json": ""}
program = torch.export.load(sys.argv[1], extra_files=about).module()
least = torch.tensor(json.loads(json.loads(about["detector.json"])["thresholds"]))
boxes, scores, labels, image = program(torch.load(sys.argv[2]), least)
torch.save([boxes, scores, labels], sys.argv[3])
"""


@pytest.mark.parametrize("kind", ["fpn", "c4, pooled, context"])
def test_it_finds_the_same_at_every_size(kind, tmp_path):
    detector = sure_detector(kind)
    Image.fromarray(picture((70, 96))).save(tmp_path / "example.png")
    parity = write_torch(detector, tmp_path / "a.pt2", [tmp_path / "example.png"], nchw=kind == "fpn")
    assert parity.same == parity.expected
    graph = read_torch(tmp_path / "a.pt2")
    count = 0
    for seed, size in enumerate(SIZES):
        expected = detector([picture(size, seed)])[0]
        assert_same(graph([picture(size, seed)])[0], expected)
        count += len(expected.boxes)
    assert count > 10
    if kind != "fpn":
        return
    three = [picture((80, 50), seed) for seed in range(3)]
    given = np.stack(three).transpose(0, 3, 1, 2)
    boxes, scores, labels, image = graph.run(given, None)
    for number, alone in enumerate(three):
        own = image == number
        assert_same(Detections(boxes[own], scores[own], labels[own], (80, 50)), detector([alone])[0])
    nothing = graph.finding(2.0)(three[:1])[0]
    assert len(nothing.boxes) == 0


@pytest.fixture(scope="module")
def exported(trained, shapes, tmp_path_factory):
    output = tmp_path_factory.mktemp("torch") / "best.pt2"
    words = [f"--checkpoint={trained}", "--backend=torch", "--license=CC0", f"--images={shapes / 'val'}"]
    assert main(["export", *words, f"--output={output}"]) == 0
    return output


def test_commands_take_the_file(exported, trained, shapes, tmp_path):
    found = []
    for name, weights in (("a", trained / "best.pt"), ("b", exported)):
        words = [f"--checkpoint={weights}", "--device=cpu"]
        out = tmp_path / name
        assert main(["predict", str(shapes / "val"), *words, f"--output={out}", "--score=0.01", "--no-pictures"]) == 0
        assert main(["evaluate", *words, f"--data={shapes}", f"--output={out}-tested", "--no-report"]) == 0
        told = json.loads((out / "predictions.json").read_bytes())
        stats = json.loads((tmp_path / f"{name}-tested" / "evaluation.json").read_bytes())["stats"]
        found.append(([len(one["detections"]) for one in told], stats))
    assert found[0][0] == found[1][0] and sum(found[0][0]) > 10
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-6)


def test_torch_alone_runs_it(exported, trained, shapes, tmp_path):
    image = next((shapes / "val").iterdir())
    torch.save(torch.from_numpy(np.array(Image.open(image).convert("RGB")))[None], tmp_path / "image.pt")
    words = [str(exported), "image.pt", "found.pt"]
    subprocess.run([sys.executable, "-I", "-c", PROGRAM, *words], check=True, cwd=tmp_path, capture_output=True)
    boxes, scores, labels = torch.load(tmp_path / "found.pt")
    expected = detection.load(trained / "best.pt", device="cpu")(image)
    assert np.allclose(scores, expected.scores, atol=1e-3) and len(scores) > 0
    assert np.allclose(boxes, expected.boxes, atol=0.5) and labels.tolist() == expected.labels.tolist()


def test_what_is_said_and_refused(exported, trained, shapes, tmp_path, capsys):
    about = read_torch(exported).about
    assert about["license"] == "CC0" and json.loads(about["parity"])["images"] == 3
    assert ".pt2" in repr(detection.load(exported))

    def refused(*words, because):
        assert main([str(word) for word in words]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert because in line, line

    export = ["export", f"--checkpoint={trained / 'best.pt'}", "--backend=torch", "--images", shapes / "val"]
    refused(*export, "--precision=int8", because="--precision int8: torch has fp32")
    refused(*export, f"--output={exported}", because="exists already")
    refused(*export, f"--output={tmp_path / 'a.onnx'}", because="give a name that ends in .pt2")
    predict = ["predict", shapes / "val", f"--output={tmp_path / 'out'}"]
    (tmp_path / "broken.pt2").write_bytes(exported.read_bytes()[:-3000])
    refused(*predict, f"--checkpoint={tmp_path / 'broken.pt2'}", because="broken.pt2: no program that torch")
    evaluate = ["evaluate", f"--data={shapes}", f"--output={tmp_path / 'out'}"]
    refused(*evaluate, f"--checkpoint={exported}", "--max-detections=300", because="a .pt2 file keeps the number")
