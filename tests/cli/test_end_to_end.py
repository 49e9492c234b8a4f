"""The walk of a user on real data: train, evaluate, predict."""

import json

from detection.cli.main import main


def test_coco_from_training_to_pictures(shared, tiny, tmp_path, capsys):
    data, run, out = shared / "data/coco_tiny", tmp_path / "run", tmp_path / "out"
    (tmp_path / "coco.yaml").write_text("train: {schedule: cosine}\n")
    options = [f"--data={data}", f"--output={run}", "--train.iterations=100", "--train.evaluate_every=100"]
    assert main(["train", *tiny, *options, "--config", str(tmp_path / "coco.yaml")]) == 0
    text = capsys.readouterr().out
    assert "person" in text and "AP50" in text and str(run / "best.pt") in text
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.8 * losses[0]

    assert main(["evaluate", f"--checkpoint={run / 'best.pt'}", f"--output={out}"]) == 0
    of_checkpoint = capsys.readouterr().out
    assert main(["evaluate", f"--predictions={out / 'predictions.json'}", f"--data={data}"]) == 0
    of_file = capsys.readouterr().out
    assert of_file.strip() and of_file.strip() in of_checkpoint
    for name in ("predictions.json", "evaluation.json"):
        assert (out / name).read_bytes() == (run / name).read_bytes(), "the same numbers as at the end of training"

    images = sorted(str(path) for path in (data / "val2017").iterdir())[:2]
    assert main(["predict", *images, f"--checkpoint={run / 'best.pt'}", f"--output={out}", "--score=0.05"]) == 0
    records = json.loads((out / "predictions.json").read_text())
    assert [record["file"] for record in records] == images and any(record["detections"] for record in records)
    assert all((out / f"{name[-16:-4]}.jpg").is_file() for name in images)


def test_voc_without_a_config(shared, tiny, tmp_path, capsys):
    left_open = ("train.batch", "train.lr", "train.warmup", "model.anchors", "model.backbone")
    options = [o for o in tiny if not o.startswith(tuple(f"--{key}" for key in left_open))]
    data = shared / "data/bccd"
    assert main(["train", f"--data={data}", f"--output={tmp_path / 'run'}", *options]) == 0
    text = capsys.readouterr().out
    assert f"{data}: voc data, splits train, val, test" in text and "classes: Platelets, RBC, WBC" in text
    assert "--model.backbone resnet18  (fits a CPU)" in text and "--train.batch 2  (images per iteration)" in text
    assert "--model.anchors.sizes [[" in text and "--train.iterations" not in text.split("chosen for this data (")[1]
    assert "given: " in text and "--train.iterations" in text.split("chosen for this data (")[0]
    assert "205 training and 87 validation images, 3 classes" in text and (tmp_path / "run/best.pt").is_file()


def test_a_detector_is_fine_tuned_without_repeating_its_settings(trained, shapes, tiny, tmp_path, capsys):
    options = [o for o in tiny if not o.startswith("--model.")]
    weights = f"--model.weights={trained / 'best.pt'}"
    assert main(["train", f"--data={shapes}", f"--output={tmp_path / 'run'}", weights, *options]) == 0
    assert f"model settings from {trained / 'best.pt'}" in capsys.readouterr().out
