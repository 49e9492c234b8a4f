"""`frcnn check-data` from end to end: what it prints, writes and returns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from detection.cli.main import main


@pytest.fixture
def data(shapes: Path, tmp_path: Path) -> Path:
    """The shapes with a stray click, a doubled box and an image cut off."""
    folder = shutil.copytree(shapes, tmp_path / "data")
    file = folder / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    first = content["annotations"][0]
    content["annotations"] += [first | {"id": 901}, first | {"id": 902, "bbox": [5, 5, 0, 0]}]
    file.write_text(json.dumps(content))
    cut = folder / "train/000003.jpg"
    cut.write_bytes(cut.read_bytes()[:-800])
    return folder


def test_findings_are_ranked_written_and_drawn_and_the_status_is_the_worst(data: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    options = [f"--output={tmp_path / 'out'}", f"--json={tmp_path / 'also.json'}"]
    assert main(["check-data", f"--data={data}", *options]) == 2
    text = capsys.readouterr().out
    places = [text.index(words) for words in ("broken images", "empty boxes", "drawn twice", "suggested: --input")]
    assert places == sorted(places) and "annotation 902 (" in text and "truncated" in text
    written = json.loads((tmp_path / "out/check.json").read_text())
    assert written == json.loads((tmp_path / "also.json").read_text())
    assert written["status"] == 2 and written["counts"]["error"] == 2 and written["splits"]["train"]["images"] == 6
    assert written["findings"][0]["items"][0]["image"] == "000003.jpg"
    for name in ("histograms.png", "worst.png"):
        assert min(Image.open(tmp_path / "out" / name).size) > 200
    assert "000003.jpg" in (tmp_path / "out/check.html").read_text()


def test_the_mended_copy_trains_where_the_original_is_refused(
    data: Path, tmp_path: Path, tiny: list[str], capsys
) -> None:  # type: ignore[no-untyped-def]
    assert main(["check-data", f"--data={data}", f"--fix={tmp_path / 'good'}"]) == 0
    assert "3 changes, written to" in capsys.readouterr().out
    train = ["train", *tiny, f"--output={tmp_path / 'run'}", "--dataset.invalid=error"]
    assert main([*train, f"--data={data}"]) == 2
    assert main([*train, f"--data={tmp_path / 'good'}"]) == 0


def test_the_settings_it_suggests_are_settings(shapes: Path, tiny: list[str], tmp_path: Path) -> None:
    main(["check-data", f"--data={shapes}", f"--json={tmp_path / 'check.json'}", "--quick"])
    advice = json.loads((tmp_path / "check.json").read_text())["settings"][-1]["settings"]
    options = [f"--{key}={json.dumps(value)}" for key, value in advice.items()]
    assert main(["train", *tiny, *options, f"--data={shapes}", f"--output={tmp_path / 'run'}"]) == 0


def test_a_model_lists_the_labels_that_it_doubts(trained, shapes, tmp_path, capsys):
    file = tmp_path / "check.json"
    plain = main(["check-data", f"--data={shapes}", f"--json={file}"])
    assert "contradicts" not in capsys.readouterr().out
    assert (
        main(["check-data", f"--data={shapes}", f"--model={trained}", f"--json={file}"]) == plain
    )  # doubt is no fault
    told = capsys.readouterr().out
    assert "labels that the detector of --model contradicts, the surest first: " in told
    assert "was trained on 6 of these 6 images" in told
    found = next(each for each in json.loads(file.read_text())["findings"] if each["rule"] == "doubted label")
    sure = [float(item["text"].split("), ")[1].split()[0]) for item in found["items"]]
    assert sure == sorted(sure, reverse=True) and {item["split"] for item in found["items"]} == {"train", "val"}


def test_a_model_of_other_classes_is_refused(trained, shapes, tmp_path, capsys):
    data = shutil.copytree(shapes, tmp_path / "data")
    for path in (data / "annotations").iterdir():
        path.write_text(path.read_text().replace('"name": "star"', '"name": "moon"'))
    assert main(["check-data", f"--data={data}", f"--model={trained}"]) == 2
    assert f"--model {trained}: " in capsys.readouterr().err
