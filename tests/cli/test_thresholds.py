"""`predict --score` and `--classes`: for all classes, for one, and what is left of the thresholds in the checkpoint."""

import json
from argparse import Namespace

import pytest

from detection.cli.main import main
from detection.cli.thresholds import NEVER, least_scores
from detection.errors import InputError

NAMES = ("cat", "traffic light", "a=b")


@pytest.mark.parametrize(
    ("given", "classes", "stored", "least"),
    [
        (None, None, None, [0.5, 0.5, 0.5]),
        (None, None, [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
        ([(None, 0.7)], None, [0.1, 0.2, 0.3], 0.7),
        ([("traffic light", 0.9)], None, None, [0.5, 0.9, 0.5]),
        ([("cat", 0.0)], None, [0.1, 0.2, 0.3], [0.0, 0.2, 0.3]),
        ([("a=b", 0.9), (None, 0.4)], None, [0.1, 0.2, 0.3], [0.4, 0.4, 0.9]),
        ([("cat", 0.1), (None, 0.2), ("cat", 0.3), (None, 0.4)], None, None, [0.3, 0.4, 0.4]),
        ([("cat", 0.1)], "a=b, cat", [0.1, 0.2, 0.3], [0.1, NEVER, 0.3]),
        ([(None, 0.7)], "cat", None, [0.7, NEVER, NEVER]),
    ],
)
def test_a_class_has_its_own_score_else_that_of_all_else_its_threshold(given, classes, stored, least):
    assert least_scores(Namespace(score=given, classes=classes), stored, NAMES) == least


@pytest.mark.parametrize(
    ("given", "classes", "message"),
    [
        ([("trafic light", 0.5)], None, "--score: .* did you mean 'traffic light'"),
        (None, "cat,zebra", "--classes: .* there are cat, traffic light, a=b"),
    ],
)
def test_what_makes_no_sense_is_refused(given, classes, message):
    with pytest.raises(InputError, match=message):
        least_scores(Namespace(score=given, classes=classes), None, NAMES)


def test_the_command_keeps_what_each_class_allows(shapes, trained, tmp_path, capsys):
    words = ["predict", str(shapes / "val"), f"--checkpoint={trained / 'best.pt'}", "--device=cpu", "--no-pictures"]

    def found(name, *score):
        assert main([*words, f"--output={tmp_path / name}", *score]) == 0
        records = json.loads((tmp_path / name / "predictions.json").read_text())
        return [each for record in records for each in record["detections"]]

    everything = found("all", "--score=0.01")
    name = everything[0]["class"]
    assert found("one", f"--score={name}=1", "--score=0.01") == [e for e in everything if e["class"] != name]
    assert main([*words, f"--output={tmp_path / 'no'}", "--score=cat=x"]) == 2
    error = capsys.readouterr().err
    assert "cat=x is neither a number from 0 to 1 nor CLASS=NUMBER" in error and error.count("\n") == 1
    assert not (tmp_path / "no").exists()
