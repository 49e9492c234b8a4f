"""`--json`: the standard output is one JSON document with what the command found, and nothing else."""

import json

from detection.cli.main import main


def answer(capsys, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr()
    return json.loads(told.out), told.err


def test_training_and_folds(shapes, tiny, tmp_path, capsys):
    words = ["train", *tiny, f"--data={shapes}", "--json", "--evaluate.report=false"]
    found, told = answer(capsys, *words, f"--output={tmp_path / 'run'}")
    written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found["evaluation"]["stats"] == written["stats"] and str(tmp_path / "run" / "best.pt") in found["files"]
    assert "Average Precision" in told
    found, _ = answer(capsys, *words, "--folds=2", f"--output={tmp_path / 'folds'}")
    assert set(found) == {"evaluation", "files"} and found["evaluation"]["images"] == 9


def test_what_is_found_of_a_run(trained, shapes, tmp_path, capsys):
    weights, data = trained / "best.pt", shapes / "val"
    found, told = answer(capsys, "evaluate", "--checkpoint", weights, "--json", "--output", tmp_path / "tested")
    written = json.loads((tmp_path / "tested" / "evaluation.json").read_text())
    assert found["stats"] == written["stats"] and found["losses"]["loss"] > 0 and "Average Precision" in told
    predictions = tmp_path / "tested" / "predictions.json"
    assert (
        answer(capsys, "evaluate", "--predictions", predictions, "--data", shapes, "--json")[0]["stats"]
        == found["stats"]
    )

    words = ["predict", data, "--checkpoint", weights, "--score=0.01", "--output", tmp_path / "found", "--json"]
    found, _ = answer(capsys, *words)
    assert found == {"images": json.loads((tmp_path / "found" / "predictions.json").read_text()), "skipped": []}

    found, _ = answer(
        capsys, "compare", trained, predictions, "--resamples=10", "--output", tmp_path / "both", "--json"
    )
    assert found == json.loads((tmp_path / "both" / "compare.json").read_text())

    found, _ = answer(capsys, "report", trained, "--output", tmp_path / "report", "--json")
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found == {name: written[name] for name in found} and found["causes"]


def test_a_classifier_and_a_failure(classes, small, tmp_path, capsys):
    found, _ = answer(capsys, "pretrain", *small, f"--data={classes}", f"--output={tmp_path / 'run'}", "--json")
    assert 0 <= found["evaluation"]["validation"]["top1_error"] <= 1
    assert main(["evaluate", "--checkpoint", str(tmp_path / "none.pt"), "--json"]) == 2
    assert capsys.readouterr().out == ""
