"""Ensembles and improvements at test time from the command line."""

import json
import re
import sys

import pytest
from PIL import Image

from detection import checkpoint
from detection.cli.main import main
from detection.cli.testing import IMPROVEMENTS
from detection.predict.improved import SUPPRESSIONS, Improvements

EVERYTHING = ["--refine", "--flip", "--scales", "48", "64", "96", "--suppression", "soft", "--nms", "0.4"]


@pytest.fixture(scope="module")
def best(trained):
    return str(trained / "best.pt")


def run(capsys, *arguments):
    """Status, output and complaint of one command."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_an_improved_pass_that_improves_nothing_gives_the_numbers_of_evaluation(best, tmp_path, capsys):
    plain, improved = tmp_path / "plain", tmp_path / "improved"
    _, text, _ = run(capsys, "evaluate", "--checkpoint", best, "--output", plain)
    status, same, _ = run(capsys, "evaluate", "--checkpoint", best, "--nms", "0.5", "--output", improved)
    assert status == 0 and "rpn_objectness" in text and "rpn_objectness" not in same
    for name in ("predictions.json", "evaluation.json", "detections.png"):
        assert (plain / name).read_bytes() == (improved / name).read_bytes()
    assert same.replace(str(improved), str(plain)) in text
    _, smaller, _ = run(capsys, "evaluate", "--checkpoint", best, "--size", "48")
    _, also, _ = run(capsys, "evaluate", "--checkpoint", best, "--size", "48", "--nms", "0.5")
    assert also in smaller


@pytest.mark.parametrize(
    "options",
    [["--refine"], ["--vote"], ["--scales", "48", "96"], ["--flip"], ["--suppression", "soft"], ["--nms", "0.2"]],
    ids=lambda options: options[0],
)
def test_each_option_changes_what_is_found(best, options, shapes, tmp_path, capsys):
    found = []
    for number, more in enumerate((["--nms", "0.1"], ["--nms", "0.1", *options])):
        folder = tmp_path / str(number)
        lines = ["--checkpoint", best, *more, "--score=0", "--no-pictures", "--output", folder]
        status, _, error = run(capsys, "predict", shapes / "val", *lines)
        assert status == 0, error
        found.append(json.loads((folder / "predictions.json").read_text()))
    assert found[0] != found[1] and found[1][0]["detections"]


def test_an_ensemble_with_everything_is_evaluated_and_predicts(best, shapes, tmp_path, capsys):
    options = ["--checkpoint", best, "--checkpoint", best, *EVERYTHING]
    status, text, error = run(capsys, "evaluate", *options, "--output", tmp_path / "out", "--metric", "voc")
    assert status == 0 and "mean" in text.lower(), error
    assert (tmp_path / "out/evaluation.json").is_file() and (tmp_path / "out/detections.png").is_file()
    images = shapes / "val"
    status, text, error = run(capsys, "predict", images, *options, "--output", tmp_path / "found", "--score", "0")
    assert status == 0 and "in 3 images" in text, error
    assert json.loads((tmp_path / "found/predictions.json").read_text())[0]["detections"]
    assert len(list((tmp_path / "found").glob("*.jpg"))) == 3


def test_images_may_follow_the_checkpoints(best, shapes, tmp_path, capsys):
    image, records = shapes / "val/000001.jpg", []
    Image.open(image).save(tmp_path / "second.png")
    for options in (
        ["--checkpoint", best, "--checkpoint", best, image],
        [image, "--checkpoint", best, "--checkpoint", best],
    ):
        status, _, error = run(capsys, "predict", *options, "--output", tmp_path / "out", "--no-pictures", "--score=0")
        assert status == 0, error
        records.append(json.loads((tmp_path / "out/predictions.json").read_text()))
    assert records[0] == records[1] and len(records[0]) == 1
    options = ["--output", tmp_path / "out", "--no-pictures"]
    status, text, _ = run(capsys, "predict", *options, "--checkpoint", best, image, tmp_path / "second.png")
    assert status == 0 and "in 2 images" in text


def test_models_of_other_classes_are_no_ensemble(best, trained, shapes, tmp_path, capsys):
    content = checkpoint.load(trained / "best.pt", "detection")
    names = list(content["classes"])
    checkpoint.save(tmp_path / "other.pt", {**content, "classes": [*names[:-1], "other"]})
    options = ["--checkpoint", best, "--checkpoint", tmp_path / "other.pt"]
    for line in (["evaluate", *options], ["predict", shapes / "val", *options, "--output", tmp_path / "out"]):
        status, _, error = run(capsys, *line)
        assert status == 2 and error.count("\n") == 1
        assert f"class {len(names) - 1} is {names[-1]!r} in model 1 and 'other' in model 2" in error


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("evaluate --checkpoint BEST --flip --batch 2", "--batch 2: ensembles and improvements take one image"),
        ("predict IMAGE --checkpoint BEST --refine --batch 2", "--batch 2: ensembles and improvements take one image"),
        ("evaluate --predictions a.json --data a --refine", "--predictions: improvements at test time need a model"),
        ("evaluate --checkpoint BEST --suppression hard", "invalid choice: 'hard'"),
        ("evaluate --checkpoint BEST --nms 2", "--nms: 2 is not between 0 and 1"),
        ("evaluate --checkpoint BEST --scales 8", "--scales: 8 is below 32"),
        ("evaluate --checkpoint BEST nowhere.pt", "nowhere.pt: belongs to no option; an option is repeated"),
        ("evaluate --checkpoint BEST --checkpoint nowhere.pt", "nowhere.pt: no such checkpoint"),
        ("predict --checkpoint BEST", "the following arguments are required: images"),
        ("predict IMAGE", "the following arguments are required: --checkpoint"),
    ],
)
def test_what_does_not_go_together_is_one_line(best, shapes, line, named, capsys):
    line = line.replace("BEST", best).replace("IMAGE", str(shapes / "val/000001.jpg"))
    status, _, error = run(capsys, *line.split())
    assert status == 2 and named in error and error.count("\n") == 1


def test_fusion_without_its_library_names_the_extra(best, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensemble_boxes", None)  # as if it were not installed
    status, _, error = run(capsys, "evaluate", "--checkpoint", best, "--suppression", "wbf")
    assert status == 2 and "pip install ensemble-boxes" in error and error.count("\n") == 1


def test_the_options_are_those_of_the_detector(capsys):
    assert Improvements(**{**IMPROVEMENTS, "scales": tuple(IMPROVEMENTS["scales"])}) == Improvements()
    assert main(["evaluate", "--help"]) == 0
    kinds = re.search(r"--suppression \{(.*?)\}", capsys.readouterr().out)
    assert kinds and kinds[1].split(",") == list(SUPPRESSIONS)
