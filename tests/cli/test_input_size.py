"""One rule for the size at which images are looked at, in evaluation, prediction and testing at several scales."""

import json

import pytest

from detection.cli.main import main

pytestmark = pytest.mark.thorough


def results(folder):
    return json.loads((folder / "predictions.json").read_text())


@pytest.mark.parametrize("side", [32, 128, 160])
def test_the_size_that_is_asked_for_is_the_one_that_runs(trained, shapes, tmp_path, capsys, side):
    """The detector was trained at 64 pixels with a long side of 128 at most."""
    best = f"--checkpoint={trained / 'best.pt'}"
    found = {}
    for name, options in (("plain", []), ("improved", ["--nms=0.5"]), ("scales", [f"--scales={side}"])):
        size = [] if name == "scales" else [f"--size={side}"]
        out = tmp_path / name
        assert main(["evaluate", best, "--device=cpu", f"--output={out}", *options, *size]) == 0
        said = capsys.readouterr().out
        found[name] = results(out)
        if name != "scales":  # whose proposals come from the detector's own size
            assert f"input: short side {side}, long side at most {2 * side} pixels" in said
            stored = json.loads((out / "evaluation.json").read_text())
            assert (stored["short_side"], stored["long_side"]) == (side, 2 * side)
    assert found["plain"] == found["improved"]
    assert main(["evaluate", best, "--device=cpu", f"--output={tmp_path / 'own'}"]) == 0
    assert results(tmp_path / "own") != found["plain"]
    out = tmp_path / "predicted"
    words = ["predict", str(shapes / "val"), best, "--device=cpu", f"--output={out}", "--score=0"]
    assert main([*words, f"--size={side}"]) == 0
    scores = sorted(one["score"] for record in results(out) for one in record["detections"])
    assert scores == sorted(result["score"] for result in results(tmp_path / "plain"))
