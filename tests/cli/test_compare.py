"""`frcnn compare` from runs to its three files, and one line for what cannot be compared."""

import json
import shutil

import pytest
import yaml

from detection.cli.main import main


@pytest.fixture
def runs(trained, tmp_path):
    """Two copies of a run; the second finds nothing."""
    folders = [shutil.copytree(trained, tmp_path / name) for name in ("first", "second")]
    (folders[1] / "predictions.json").write_text("[]")
    return folders


def refused(capsys, tmp_path, *arguments):
    """The error line of a call that must be refused and write nothing."""
    capsys.readouterr()
    assert main(["compare", *map(str, arguments), f"--output={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("frcnn: error: ") and error.count("\n") == 1 and not (tmp_path / "out").exists()
    return error


def reconfigure(run, change):
    file = run / "config.yaml"
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content))


def test_the_table_has_the_runs_own_numbers(trained, runs, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--resamples=20", "--latency=2", "--device=cpu", "--paper=8", f"--output={out}"]
    assert main(["compare", *map(str, runs), *options]) == 0
    told = capsys.readouterr().out
    evaluation = json.loads((trained / "evaluation.json").read_text())
    content = json.loads((out / "compare.json").read_text())
    first, second = content["rows"]
    assert (first["name"], second["name"]) == ("first", "second")
    assert first["values"] == {name: evaluation["stats"][name] for name in first["values"]}
    assert first["per_class"] == {name: numbers["AP50"] for name, numbers in evaluation["per_class"].items()}
    assert second["deltas"]["AP"] == -first["values"]["AP"]
    cost = first["cost"]
    assert cost["parameters"] > 1e5 and cost["multiply_adds"] > 1e6 and cost["size"] == [64, 64]
    assert cost["regions"] == 50 and cost["latency_ms"] > 0
    (objects,) = content["objects_found"]
    assert objects["second"] == "second" and objects["both"] == objects["only_second"] == 0
    assert objects["only_first"] + objects["neither"] == content["objects"]
    markdown, page = (out / "compare.md").read_text(), (out / "compare.html").read_text()
    assert "48.4" in markdown and "48.4" in page and "AP50 of each class" in markdown and "first" in told


def test_files_of_predictions_stand_beside_runs_and_alone(trained, shapes, runs, tmp_path):
    lone = tmp_path / "other.json"
    shutil.copy(trained / "predictions.json", lone)
    assert main(["compare", str(runs[0]), str(lone), "--resamples=0", f"--output={tmp_path / 'a'}"]) == 0
    beside = json.loads((tmp_path / "a/compare.json").read_text())["rows"]
    assert beside[1]["name"] == "other" and beside[1]["values"] == beside[0]["values"] and beside[1]["cost"] is None
    options = [f"--data={shapes}", "--split=val", "--metric=voc", "--paper=7", "--resamples=10"]
    assert main(["compare", str(lone), *options, f"--output={tmp_path / 'b'}"]) == 0
    alone = json.loads((tmp_path / "b/compare.json").read_text())
    assert set(alone["rows"][0]["values"]) == {"AP 11-point", "AP area"}
    assert "76.4" in (tmp_path / "b/compare.md").read_text()


def test_what_is_no_run_is_refused(runs, shapes, tmp_path, capsys):
    lone = tmp_path / "p.json"
    lone.write_text("[]")
    assert "nowhere: there is no such run" in refused(capsys, tmp_path, runs[0], "nowhere")
    assert "has no config.yaml" in refused(capsys, tmp_path, runs[0], shapes)
    assert "add --data PATH" in refused(capsys, tmp_path, lone)
    assert "--data PATH" in refused(capsys, tmp_path, lone, "--split=val")
    assert "given twice" in refused(capsys, tmp_path, runs[0], runs[0])
    assert "add --metric voc" in refused(capsys, tmp_path, runs[0], "--paper=7")
    lone.write_text('[{"image_id": 99999, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]')
    assert all(word in refused(capsys, tmp_path, runs[0], lone) for word in ("p.json", "99999"))
    (runs[1] / "predictions.json").unlink()
    assert "has no predictions.json" in refused(capsys, tmp_path, *runs)


def test_other_splits_classes_and_data_are_refused_and_both_are_named(runs, shapes, tmp_path, capsys):
    first, second = runs
    assert "not 'train'" in refused(capsys, tmp_path, first, "--split=train")
    reconfigure(second, lambda content: content["dataset"].update(val="train"))
    error = refused(capsys, tmp_path, *runs)
    assert all(word in error for word in ("other images", "split 'val'", "split 'train'"))

    renamed = shutil.copytree(shapes, tmp_path / "renamed")
    for file in (renamed / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        content["categories"][0]["name"] = "blob"
        file.write_text(json.dumps(content))
    (second / "best.pt").unlink()
    reconfigure(second, lambda content: (content.update(data=str(renamed)), content["dataset"].update(val="val")))
    error = refused(capsys, tmp_path, *runs)
    assert all(word in error for word in ("other classes", str(shapes), str(renamed)))

    evaluation = json.loads((first / "evaluation.json").read_text())
    (first / "evaluation.json").write_text(json.dumps(evaluation | {"images": 77}))
    assert "is of 77 images" in refused(capsys, tmp_path, first)
