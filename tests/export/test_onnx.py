"""One ONNX file finds what the toolkit finds, in images of any size, alone and in batches, from any program."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from same_detections import assert_same
from sure_detector import KINDS, SIZES, picture, sure_detector

import detection
from detection import checkpoint
from detection.cli.main import main
from detection.data.image import resize_image
from detection.export.onnx_file import read_onnx, write_onnx
from detection.export.resizing import resize
from detection.geometry.boxes import iou

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@given(st.integers(1, 60), st.integers(1, 60), st.integers(20, 60), st.integers(20, 60), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_bytes_are_resized_to_the_very_level(height, width, to_height, to_width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = resize(torch.from_numpy(image).permute(2, 0, 1)[None], torch.tensor([to_height, to_width]))
    expected = resize_image(image, (to_height, to_width))
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_at_every_size(kind, tmp_path):
    detector = sure_detector(kind)
    example = tmp_path / "example.png"
    Image.fromarray(picture((70, 96))).save(example)
    parity = write_onnx(detector, tmp_path / "a.onnx", [example])
    assert parity.same == parity.expected
    graph = read_onnx(tmp_path / "a.onnx")
    count = 0
    for seed, size in enumerate(SIZES):
        image = picture(size, seed)
        expected = detector([image])[0]
        assert_same(graph([image])[0], expected)
        count += len(expected.boxes)
    assert count > 10
    # Images of one size go together; what each of them shows says `image`.
    both = [picture((80, 50), seed) for seed in (1, 2)]
    boxes, scores, labels, image = graph.run(np.stack(both), None)
    for number, alone in enumerate(both):
        expected = detector([alone])[0]
        assert (image == number).sum() == len(expected.scores)
        np.testing.assert_allclose(scores[image == number], expected.scores, atol=1e-3)


@pytest.mark.parametrize(("precision", "size", "score", "share"), [("fp16", 0.6, 0.01, 0.98), ("int8", 0.45, 0.2, 0.7)])
def test_smaller_files_find_nearly_the_same(precision, size, score, share, tmp_path):
    detector = sure_detector("fpn")
    files = []
    for seed in range(4):
        files.append(tmp_path / f"{seed}.png")
        Image.fromarray(picture((70, 96), seed)).save(files[-1])
    write_onnx(detector, tmp_path / "whole.onnx", files)
    write_onnx(detector, tmp_path / "small.onnx", files, precision)
    assert (tmp_path / "small.onnx").stat().st_size < size * (tmp_path / "whole.onnx").stat().st_size
    whole, small = (read_onnx(tmp_path / f"{name}.onnx") for name in ("whole", "small"))
    about = small.about
    assert about["precision"] == precision and json.loads(about["names"]) == ["a", "b", "c"]
    assert {each.domain for each in __import__("onnx").load(str(tmp_path / "small.onnx")).opset_import} == {""}
    same = count = 0
    for seed, shape in enumerate(SIZES[:6]):
        first, second = (graph([picture(shape, seed)])[0] for graph in (whole, small))
        like = iou(first.boxes, second.boxes) * (first.labels[:, None] == second.labels)
        like *= (first.scores[:, None] - second.scores).abs() < score
        same, count = same + int((like.max(1).values > 0.8).sum()), count + len(first.boxes)
    assert same >= share * count > 10


@pytest.fixture(scope="module")
def exported(trained, shapes, tmp_path_factory) -> Path:
    """The trained detector with thresholds of its own, in channels first."""
    folder = tmp_path_factory.mktemp("onnx")
    shutil.copytree(trained, folder / "run")
    best = folder / "run" / "best.pt"
    checkpoint.save(best, {**checkpoint.load(best, "detection"), "thresholds": [0.1, 0.2, 0.1, 0.1, 0.1, 0.12]})
    words = ["--layout", "nchw", "--license", "CC0", "--images", str(shapes / "val")]
    assert main(["export", "--checkpoint", str(folder / "run"), *words]) == 0
    return folder / "run" / "best.onnx"


def test_commands_and_programs_take_the_file(exported, shapes, tmp_path, capsys):
    for name, weights in (("torch", exported.with_suffix(".pt")), ("onnx", exported)):
        words = ["predict", str(shapes / "val"), "--checkpoint", str(weights), "--output", str(tmp_path / name)]
        assert main([*words, "--score", "0.01", "--no-pictures", "--device", "cpu"]) == 0
        words = ["evaluate", "--checkpoint", str(weights), "--data", str(shapes), "--device", "cpu"]
        assert main([*words, "--output", str(tmp_path / f"{name} tested"), "--no-report"]) == 0
    files = [json.loads((tmp_path / name / "predictions.json").read_bytes()) for name in ("torch", "onnx")]
    assert [len(one["detections"]) for one in files[0]] == [len(one["detections"]) for one in files[1]]
    assert sum(len(one["detections"]) for one in files[0]) > 10
    stats = [
        json.loads((tmp_path / f"{n} tested" / "evaluation.json").read_bytes())["stats"] for n in ("torch", "onnx")
    ]
    assert stats[0] == pytest.approx(stats[1], abs=1e-6)
    loaded = detection.load(exported)
    image = next((shapes / "val").iterdir())
    expected = detection.load(exported.with_suffix(".pt"), device="cpu")(image)  # both at the file's thresholds
    assert np.allclose(loaded(image).scores, expected.scores, atol=1e-3) and len(loaded.class_names) == 6
    assert len(loaded(image, score=0.01).scores) > len(expected.scores)
    assert detection.evaluate(loaded, data=shapes)["stats"] == pytest.approx(stats[0], abs=1e-6)


def test_a_program_without_the_toolkit(trained, shapes, tmp_path):
    words = ["--images", str(shapes / "val"), "--output", str(tmp_path / "a.onnx")]
    assert main(["export", "--checkpoint", str(trained / "best.pt"), *words]) == 0
    example = Path(__file__).parents[2] / "examples" / "onnx_python.py"
    image = next((shapes / "val").iterdir())
    command = [sys.executable, "-I", str(example), str(tmp_path / "a.onnx"), str(image), "0.06"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    expected = detection.load(trained / "best.pt", device="cpu")(image, score=0.06)
    assert len(told) == len(expected.scores) > 0
    for line, score, box in zip(told, expected.scores, expected.boxes):
        name, *numbers = line.rsplit(maxsplit=5)
        assert name in expected.names
        assert np.allclose([float(number) for number in numbers], [score, *box], atol=0.02)


def test_the_file_says_what_it_is(exported):
    graph = read_onnx(exported)
    about = graph.about
    assert (about["license"], about["layout"], json.loads(about["names"])) == ("CC0", "nchw", list(graph.class_names))
    assert json.loads(about["parity"])["images"] == 3
    domains = {each.domain for each in __import__("onnx").load(str(exported)).opset_import}
    assert domains == {""}  # standard operators alone


def test_refusals(exported, trained, shapes, tmp_path, capsys):
    best, images = str(trained / "best.pt"), ["--images", str(shapes / "val")]

    def refused(*words, because):
        assert main([str(word) for word in words]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert because in line, line

    export = ["export", "--checkpoint", best, *images]
    refused(*export, "--precision=bf16", because="--precision bf16: onnx has fp32, fp16, int8")
    refused(*export, "--backend=openvino", "--precision=fp16", because="openvino has fp32, bf16, int8")
    refused(*export, f"--output={tmp_path / 'folder'}", because="ONNX is one file; give a name that ends in .onnx")
    refused(*export, f"--output={exported}", because="exists already")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    predict = ["predict", shapes / "val", f"--output={tmp_path / 'out'}"]
    refused(*predict, f"--checkpoint={broken}", because=f"{broken}: not a graph that ONNX Runtime reads")
    refused(*predict, f"--checkpoint={tmp_path / 'none.onnx'}", because="there is no such file")
    refused(*predict, f"--checkpoint={exported}", "--size=128", because="--size 128: the file was exported with")
    refused(*predict, f"--checkpoint={exported}", "--flip", because="which a graph hides; give checkpoints")
    refused(*predict, f"--checkpoint={exported}", "--compiled", because="is not compiled by torch")
