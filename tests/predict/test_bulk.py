"""A prediction that is interrupted and gone on with: no image twice, none left out, the same numbers."""

import json
from pathlib import Path

import pytest
from PIL import Image

from detection.cli.main import main
from detection.predict.bulk import batches_of
from detection.predict.detector import Detector


@pytest.fixture
def predict(trained, shapes, tmp_path, capsys):
    """predict(folder, options...): status, stdout and stderr, over 6 images in batches of 2."""

    def run(name, *options):
        files = [str(shapes / "train"), f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / name}"]
        status = main(["predict", *files, "--score=0.05", "--batch=2", "--device=cpu", *options])
        return (status, *capsys.readouterr())

    return run


def interrupt(monkeypatch, after):
    """Detectors that are interrupted after some batches; the sizes of the batches they saw."""
    seen, detect = [], Detector.detect

    def call(self, images):
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(len(images))
        return detect(self, images)

    monkeypatch.setattr(Detector, "detect", call)
    return seen


def test_what_was_interrupted_is_gone_on_with(predict, tmp_path, monkeypatch):
    assert predict("whole")[0] == 0
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        assert predict("out")[0] == 130
    lines = tmp_path / "out/.predictions-0.jsonl"
    assert not (tmp_path / "out/predictions.json").exists() and lines.read_bytes().count(b"\n") == 3
    lines.write_bytes(lines.read_bytes()[:-30])  # killed within its second line
    seen = interrupt(monkeypatch, 99)
    status, text, _ = predict("out", "--resume")
    assert status == 0 and "resuming: 2 of 6 images are done" in text and seen == [2, 2]
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "out").iterdir())) == len(list((tmp_path / "whole").iterdir()))


def test_other_settings_are_refused_and_without_resume_it_begins_anew(predict, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        predict("out")
    status, _, error = predict("out", "--resume", "--score=0.2")
    assert status == 2 and "predicted with other settings (score)" in error and error.count("\n") == 1
    status, text, _ = predict("out", "--score=0.2")
    assert status == 0 and "starting over; --resume would have kept 2 finished images" in text
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())) == 6


def test_batches_hold_images_of_like_shape_and_the_records_keep_their_order(trained, tmp_path, capsys):
    sizes = [(64, 96), (96, 64), (60, 90), (90, 60)]
    for i, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    paths = sorted(tmp_path.glob("*.png"))
    assert [[p.stem for p in batch] for batch in batches_of(paths, 2)] == [["0", "2"], ["4", "1"], ["3"]]
    assert batches_of(paths, 1) == [[path] for path in paths]
    options = [f"--checkpoint={trained / 'best.pt'}", "--batch=2", "--invalid=skip", "--device=cpu"]
    assert main(["predict", str(tmp_path), *options, f"--output={tmp_path / 'out'}"]) == 0
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [Path(record["file"]).stem for record in records] == ["0", "1", "2", "3"]
