"""Splits without objects, and the records of `predict` as predictions to evaluate."""

import json
import shutil

import pytest

from detection import checkpoint
from detection.cli.main import main


@pytest.fixture
def no_objects(shapes, tmp_path):
    """The shapes with nothing annotated in the validation split: a test of false alarms."""
    data = shutil.copytree(shapes, tmp_path / "data")
    file = data / "annotations/instances_val.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    return data


def test_a_split_without_objects_is_a_test_of_false_alarms(no_objects, trained, capsys, tmp_path):
    out = tmp_path / "out"
    words = ["evaluate", f"--checkpoint={trained / 'best.pt'}", f"--data={no_objects}", f"--output={out}"]
    assert main([*words, "--device=cpu"]) == 0
    text = capsys.readouterr().out
    found = json.loads((out / "predictions.json").read_text())
    assert found and f"every detection is a false alarm, {len(found) / 3:.3g} an image" in text
    strong = sum(result["score"] >= 0.3 for result in found)
    assert f"score 0.3 or more: {strong}, {strong / 3:.3g} an image" in text and "nan" not in text
    assert json.loads((out / "evaluation.json").read_text())["stats"]["AP"] is None


def test_training_keeps_the_newest_weights_where_there_is_nothing_to_find(no_objects, tiny, tmp_path, capsys):
    options = ["--train.evaluate_every=1", f"--output={tmp_path / 'run'}"]
    assert main(["train", *tiny, f"--data={no_objects}", *options]) == 0
    assert "every detection is a false alarm" in capsys.readouterr().out
    assert checkpoint.load(tmp_path / "run/best.pt", "detection")["iteration"] == 2


def test_a_training_split_without_objects_is_still_refused(no_objects, tiny, tmp_path, capsys):
    options = ["--dataset.train=val", "--dataset.val=train", f"--output={tmp_path / 'run'}"]
    assert main(["train", *tiny, f"--data={no_objects}", *options]) == 2
    assert "3 images but no annotated object" in capsys.readouterr().err


def test_what_predict_wrote_is_evaluated_by_file_name(shapes, trained, tmp_path, capsys):
    best, out = f"--checkpoint={trained / 'best.pt'}", tmp_path / "out"
    assert main(["predict", str(shapes / "val"), best, f"--output={out}", "--score=0", "--device=cpu"]) == 0
    assert main(["evaluate", best, "--device=cpu"]) == 0
    wanted = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Average")]
    words = ["evaluate", f"--predictions={out / 'predictions.json'}", f"--data={shapes}", "--split=val"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("Average")] == wanted and len(wanted) == 12
    assert "records of `frcnn predict` for 3 of 3 images" in text and "--score 0.05" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "nowhere.jpg"}, "item 1: nowhere.jpg is not an image of the split"),
        ({"detections": [{"box": [0, 0, 1, 1], "score": 0.9, "class": "cow"}]}, "item 1: class 'cow' is not in"),
        ({"detections": [{"box": [0, 0, 1], "score": 0.9, "class": "circle"}]}, "item 1: not enough values"),
    ],
)
def test_a_record_of_another_image_or_class_is_named(shapes, tmp_path, capsys, change, message):
    records = [{"file": str(p), "size": [96, 96], "detections": []} for p in sorted((shapes / "val").iterdir())[:2]]
    records[1] |= change
    (tmp_path / "p.json").write_text(json.dumps(records))
    assert main(["evaluate", f"--predictions={tmp_path / 'p.json'}", f"--data={shapes}", "--split=val"]) == 2
    assert message in capsys.readouterr().err
