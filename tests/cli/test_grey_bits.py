"""16-bit images whose values end at 4095 are told of, and read as what they show where the user says so."""

import json

import numpy as np
import pytest
from PIL import Image

from detection.cli.main import main


@pytest.fixture
def scans(shapes, tmp_path):
    """The shapes as a scanner of 12 bits saves them."""
    folder = tmp_path / "scans"
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        for path in (shapes / split).iterdir():
            grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 16
            Image.fromarray(grey).save(folder / split / f"{path.stem}.png")
    (folder / "annotations").mkdir()
    for path in (shapes / "annotations").iterdir():
        (folder / "annotations" / path.name).write_text(path.read_text().replace(".jpg", ".png"))
    return folder


def scores(folder):
    records = json.loads((folder / "predictions.json").read_text())
    return [found["score"] for record in records for found in record["detections"]]


def test_check_data_and_predict_say_so_and_the_option_has_effect(scans, trained, tmp_path, capsys):
    assert main(["check-data", f"--data={scans}"]) == 1
    assert "look nearly black" in capsys.readouterr().out
    words = ["predict", str(scans / "val"), f"--checkpoint={trained / 'best.pt'}", "--score=0", "--device=cpu"]
    assert main([*words, f"--output={tmp_path / 'dark'}"]) == 0
    assert "predict with --grey-bits 12" in capsys.readouterr().out
    assert main([*words, f"--output={tmp_path / 'light'}", "--grey-bits=12"]) == 0
    assert "--grey-bits" not in capsys.readouterr().out
    assert scores(tmp_path / "dark") != scores(tmp_path / "light")


def test_a_detector_remembers_what_it_was_trained_with(scans, tiny, tmp_path):
    assert main(["train", *tiny, f"--data={scans}", f"--output={tmp_path / 'run'}", "--input.grey_bits=12"]) == 0
    words = ["predict", str(scans / "val"), f"--checkpoint={tmp_path / 'run/best.pt'}", "--score=0", "--device=cpu"]
    for name, options in (("own", []), ("twelve", ["--grey-bits=12"]), ("sixteen", ["--grey-bits=16"])):
        assert main([*words, f"--output={tmp_path / name}", *options]) == 0
    assert scores(tmp_path / "own") == scores(tmp_path / "twelve") != scores(tmp_path / "sixteen")
