"""What a run says of itself at its start, and what it took."""

import json
import shutil

import pytest

from detection.cli.main import main


def test_images_without_objects_and_a_shorter_warmup_are_told(shapes, tiny, tmp_path, capsys):
    data = shutil.copytree(shapes, tmp_path / "data")
    file = data / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    kept = {image["id"] for image in content["images"][:2]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    file.write_text(json.dumps(content))
    options = ["--train.iterations=4", "--train.warmup=3", f"--output={tmp_path / 'run'}"]
    assert main(["train", *tiny, f"--data={data}", *options]) == 0
    told = capsys.readouterr().out
    assert "6 training and 3 validation images, 6 classes; 4 training images have no object" in told
    assert "warm-up shortened to 1 iteration, a quarter" in told


def test_scores_below_the_models_own_threshold_are_found_where_asked(shapes, tiny, tmp_path, capsys):
    run, image = tmp_path / "run", str(shapes / "val" / "000001.jpg")
    assert main(["train", *tiny, f"--data={shapes}", f"--output={run}", "--model.roi.score=0.9"]) == 0
    for score, finds in (("0.95", False), ("0.01", True)):
        out = tmp_path / score
        assert main(["predict", image, f"--checkpoint={run / 'best.pt'}", f"--score={score}", f"--output={out}"]) == 0
        found = json.loads((out / "predictions.json").read_text())[0]["detections"]
        assert bool(found) == finds and all(one["score"] > float(score) for one in found)


def test_predictions_that_are_corners_are_refused(shapes, tmp_path, capsys):
    truth = json.loads((shapes / "annotations" / "instances_val.json").read_text())["annotations"]
    rows = []
    for one in truth:
        x, y, w, h = one["bbox"]
        row = {"image_id": one["image_id"], "category_id": one["category_id"], "bbox": [x, y, x + w, y + h]}
        rows.append({**row, "score": 0.9})
    file = tmp_path / "found.json"
    file.write_text(json.dumps(rows))
    assert main(["evaluate", f"--predictions={file}", f"--data={shapes}"]) == 2
    assert "fits as corners, x1 y1 x2 y2; write x y width height" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--train.mode=alternating", "--model.norm=group"], ["--time=1h"]])
def test_a_dry_run_says_what_the_run_would_take_and_writes_nothing(shapes, tiny, tmp_path, capsys, more):
    run, options = tmp_path / "run", tiny if "--time=1h" not in more else [*tiny, "--train.iterations=null"]
    words = [*options, f"--data={shapes}", f"--output={run}", "--dry-run", *more]
    if not more or "alternating" in more[0]:
        words.append("--train.iterations=12")
    assert main(["train", *words]) == 0
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if line.startswith("forecast: about "))
    assert "of memory" in line and told.rstrip().endswith("dry run: nothing was written")
    assert ("in the 60 min given" in line) if "--time=1h" in more else ("for 12 iterations of " in line)
    assert not run.exists() and list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_classifier_and_of_a_finished_run(classes, small, trained, tmp_path, capsys):
    words = [*small, f"--data={classes}", f"--output={tmp_path / 'run'}", "--dry-run"]
    assert main(["pretrain", *words]) == 0
    assert "forecast: about " in capsys.readouterr().out and not (tmp_path / "run").exists()
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    assert main(["train", f"--resume={trained}", "--train.iterations=9", "--dry-run"]) == 0
    assert "for 7 iterations" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before
