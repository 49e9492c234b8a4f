"""The comparison of backbones at mini scale: from images to the page, killed in between, nothing done twice."""

import json
import shutil

import pytest

from detection.data.shapes import write_shapes
from detection.errors import InputError
from tools import comparison

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def data(classes, tmp_path_factory):
    """Both data sets in miniature, under the names that the full ones have."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(classes, root / "imagenet200_32px", ignore=shutil.ignore_patterns("test"))
    drawn = write_shapes(root / "bccd", train=6, val=4, size=64)
    shutil.copytree(drawn / "val", drawn / "test")
    shutil.copy(drawn / "annotations/instances_val.json", drawn / "annotations/instances_test.json")
    return root


def test_every_part_is_done_once_and_the_page_says_what_is_missing(data, tmp_path, capsys):
    words = [f"--data-root={data}", f"--runs={tmp_path / 'runs'}", f"--results={tmp_path / 'results'}", "--scale=mini"]
    words += ["--resamples=20"]
    assert comparison.main([*words, "--only=pretrain"]) == 0
    numbers = json.loads((tmp_path / "results" / "comparison.json").read_text())
    assert list(numbers["pretraining"]) == ["vgg16", "vgg16_bn", "resnet18"] and not numbers["detection"]
    assert "detection with vgg16_bn" in numbers["missing"] and "flip of the best residual net" in numbers["missing"]
    said = capsys.readouterr().out
    assert said.count("trying learning rates of 0.02 for 2 iterations") == 3

    assert comparison.main([*words, "--jobs=2"]) == 0
    said = capsys.readouterr().out
    assert said.count("is pretrained already") == 3
    numbers = json.loads((tmp_path / "results" / "comparison.json").read_text())
    assert numbers["missing"] == []
    assert all(len(row["ap"]) == (1 if "ensemble" in name else 2) for name, row in numbers["detection"].items())
    ensemble, single = numbers["detection"]["ensemble of three"], numbers["detection"]["resnet18"]
    assert ensemble["parameters"] == 2 * single["parameters"]
    page = (tmp_path / "results" / "comparison.md").read_text()
    assert "alternating training" in page and "Not finished" not in page
    assert (tmp_path / "results" / "pretraining.png").exists() and (tmp_path / "results" / "detection.png").exists()

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*") if p.is_file()}
    assert comparison.main(words) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*") if p.is_file()} == before

    # Elsewhere, with the record alone: nothing is trained, unless what is missing needs weights that are gone.
    elsewhere = [word.replace("/runs", "/other") for word in words]
    capsys.readouterr()
    assert comparison.main(elsewhere) == 0
    assert "learning rates" not in capsys.readouterr().out and not list((tmp_path / "other").rglob("*.pt"))
    again = json.loads((tmp_path / "results" / "comparison.json").read_text())
    assert (again["detection"], again["pretraining"]) == (numbers["detection"], numbers["pretraining"])
    for file in (tmp_path / "results" / "record" / "tested" / "resnet18_flip").iterdir():
        file.unlink()
    third = [word.replace("/other", "/third") for word in elsewhere]
    assert comparison.main(third) == 0
    assert "resnet18: its weights are gone; trained once more" in capsys.readouterr().out
    again = json.loads((tmp_path / "results" / "comparison.json").read_text())
    assert again["missing"] == [] and again["detection"]["flip"]["ap"] == numbers["detection"]["flip"]["ap"]
    with pytest.raises(InputError, match="plan.json: is of another experiment"):
        comparison.main([*third, "--iterations=3"])


def test_missing_data_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no imagenet200_32px.tar.xz or imagenet200_32px"):
        comparison.main([f"--data-root={tmp_path}", f"--runs={tmp_path}", "--scale=mini"])
