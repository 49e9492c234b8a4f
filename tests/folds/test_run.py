"""`frcnn train --folds`: every image tested once by a detector that has not seen it; done folds are not repeated."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from detection import checkpoint
from detection.cli.main import main
from detection.folds import run as folding
from detection.folds.parts import joined
from detection.folds.result import OutOfFold, _among_all
from detection.loading.detectors import trained_images
from detection.report.suspects import Suspect


@pytest.fixture(scope="module")
def folded(shapes, tiny, tmp_path_factory):
    """The folder of a cross-validation with three folds over the nine shapes."""
    folder = tmp_path_factory.mktemp("folded") / "run"
    assert main(["train", *tiny, f"--data={shapes}", f"--output={folder}", "--folds=3", "--model.roi.score=0.01"]) == 0
    return folder


def test_every_image_is_tested_once_by_a_detector_that_has_not_seen_it(folded):
    plan = json.loads((folded / "folds.json").read_text())
    assert sorted(set(plan["images"].values())) == [1, 2, 3] and len(plan["images"]) == 9
    found = {result["image_id"] for result in json.loads((folded / "predictions.json").read_text())}
    assert len(found) == 9
    known = np.array(plan["known"])
    fold = np.array(list(plan["images"].values()))
    for number in (1, 2, 3):
        seen = trained_images(folded / f"fold{number}" / "best.pt")
        assert set(seen.tolist()) == set(known[fold != number].tolist())
    numbers = json.loads((folded / "evaluation.json").read_text())
    assert len(numbers["folds"]) == 3 and set(numbers["intervals"]) == {"AP", "AP50"} and "AP" in numbers["stats"]
    suspected = json.loads((folded / "suspects.json").read_text())
    assert {"images", "annotations", "categories"} <= suspected.keys()


def test_a_fold_is_not_chosen_by_the_images_that_it_is_tested_on(folded):
    """Its weights are those of the end of its run, which is its only evaluation."""
    rows = (folded / "fold2" / "results.csv").read_text().splitlines()
    assert len(rows) == 2 and checkpoint.load(folded / "fold2" / "best.pt", "detection")["iteration"] == 2


def test_resume_repeats_no_fold_and_finds_the_same(folded, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(folded, tmp_path / "run")
    shutil.rmtree(run / "fold2")
    trained, real = [], folding.train
    monkeypatch.setattr(folding, "train", lambda config, *rest: (trained.append(config.output), real(config, *rest))[1])
    assert main(["train", f"--resume={run}"]) == 0
    assert trained == [str(run / "fold2")]
    for name in ("evaluation.json", "predictions.json", "suspects.json", "folds.json"):
        assert (run / name).read_bytes() == (folded / name).read_bytes(), name
    out = capsys.readouterr().out
    assert "AP out of fold" in out and "over 9 images" in out and "AP of each fold" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "holds a cross-validation; give another --output"),
        (["--folds=3"], "holds a cross-validation; resume it with --resume"),
        (["--folds=2", "--resume=true"], "its folds are of other images, or of another number"),
        (["--folds=3", "--resume=true", "--train.momentum=0.5"], "momentum 0.9 -> 0.5"),
        (["--folds=1"], "--folds: 1 is below 2"),
        (["--folds=many"], "--folds: 'many' is not a whole number"),
        (["--folds=8", "--output={new}"], "--folds 8: .* has 9 different images"),
        (["--folds=3", "--output={new}", "--train.patience=2"], "train.patience: looks at the images"),
        (["--folds=3", "--output={new}", "--train.schedule=plateau"], "train.schedule plateau: looks at the images"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(folded, shapes, tiny, tmp_path, capsys, words, reason):
    before = {path: path.stat().st_mtime_ns for path in folded.rglob("*")}
    words = [word.replace("{new}", str(tmp_path / "new")) for word in words]
    common = [*tiny, f"--data={shapes}", f"--output={folded}", "--model.roi.score=0.01"]
    assert main(["train", *common, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(reason, error)
    assert {path: path.stat().st_mtime_ns for path in folded.rglob("*")} == before


def test_a_dry_run_tries_the_first_fold(shapes, tiny, tmp_path, capsys):
    run = tmp_path / "run"
    words = [*tiny, f"--data={shapes}", f"--output={run}", "--folds=3", "--dry-run", "--train.iterations=9"]
    assert main(["train", *words]) == 0
    told = capsys.readouterr().out
    assert "fold 1 of 3; the others take as long" in told and "forecast: about" in told and not run.exists()


def test_suspects_of_a_fold_point_at_their_annotation_among_all(shapes):
    from detection.data.coco import read_coco

    index = joined([read_coco(shapes / "annotations" / f"instances_{s}.json", shapes / s) for s in ("train", "val")])
    rows = np.array([2, 5, 7])
    own = index.select_images(rows)
    annotation = int(own.offsets[2])
    suspect = Suspect("spurious", 2, annotation, (0.0, 0.0, 1.0, 1.0), 0, None, 0.9)
    (moved,) = _among_all(index, OutOfFold(rows, own, [], [suspect]))
    assert moved.row == 7 and moved.annotation == index.offsets[7]
    assert index.annotation_ids[moved.annotation] == own.annotation_ids[annotation]
