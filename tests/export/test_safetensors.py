"""A checkpoint as safetensors: the same detector everywhere, readable by others, no damage unseen."""

import json
import shutil

import numpy as np
import pytest

import detection
from detection import checkpoint
from detection.cli.main import main
from detection.errors import InputError

safetensors = pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def both(trained, tmp_path_factory):
    """best.pt with thresholds, and its export beside it."""
    folder = tmp_path_factory.mktemp("safe")
    shutil.copy(trained / "best.pt", folder)
    best = folder / "best.pt"
    checkpoint.save(best, {**checkpoint.load(best, "detection"), "thresholds": [0.1] * 6})
    assert main(["export", f"--checkpoint={best}", "--backend=safetensors"]) == 0
    return best, folder / "best.safetensors"


def test_every_use_gives_the_same(both, shapes, tiny, tmp_path, capsys):
    image = next((shapes / "val").iterdir())
    first, second = (detection.load(file, "cpu")(image) for file in both)
    assert np.array_equal(first.boxes, second.boxes) and np.array_equal(first.scores, second.scores) and len(first)
    for file in both:
        words = ["evaluate", f"--checkpoint={file}", f"--data={shapes}", "--device=cpu", "--no-report"]
        assert main([*words, f"--output={tmp_path / file.suffix}"]) == 0
    stats = [json.loads((tmp_path / file.suffix / "evaluation.json").read_text())["stats"] for file in both]
    assert stats[0] == stats[1]
    for file in both:
        words = ["predict", str(image), f"--checkpoint={file}", f"--output={tmp_path / 'found'}", "--device=cpu"]
        assert main(words) == 0
        words = [
            "train",
            *tiny,
            f"--data={shapes}",
            f"--weights={file}",
            f"--output={tmp_path / f'tuned{file.suffix}'}",
        ]
        assert main(words) == 0
    one, two = (checkpoint.load(tmp_path / f"tuned{file.suffix}" / "last.pt", "detection")["model"] for file in both)
    assert all(bool((one[key] == two[key]).all()) for key in one)


def test_others_read_the_tensors(both):
    with safetensors.safe_open(both[1], "np") as opened:
        names = set(opened.keys())
        assert set(checkpoint.load(both[0], "detection")["model"]) == names - {"frcnn.trained_on"}
        assert opened.get_tensor("roi_stage.predictor.scores.bias").shape == (7,)


def test_damage_is_found(both, tmp_path):
    whole = both[1].read_bytes()
    for place in (3, 40, len(whole) // 2, len(whole) - 1):
        data = bytearray(whole)
        data[place] ^= 4
        (tmp_path / "a.safetensors").write_bytes(data)
        with pytest.raises(InputError, match=r"a.safetensors: (damaged|not a)"):
            checkpoint.load(tmp_path / "a.safetensors", "detection")
    (tmp_path / "a.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(InputError, match=r"a.safetensors: not a readable checkpoint"):
        checkpoint.load(tmp_path / "a.safetensors", "detection")
    with pytest.raises(InputError, match="exists already"):
        detection.cli.export.main([f"--checkpoint={both[0]}", "--backend=safetensors"])
