"""Nothing that was trained on is tested on, from the command line: as data grow, runs go on and files are renamed."""

import json
import shutil

import pytest

from detection.cli.main import main
from detection.data.shapes import write_shapes


@pytest.fixture(scope="module")
def grown(tiny, tmp_path_factory):
    """(data without a validation split, a run on them): since then four images were added."""
    root = tmp_path_factory.mktemp("grown")
    whole = write_shapes(root / "whole", train=20, val=1, size=64)
    content = json.loads((whole / "annotations" / "instances_train.json").read_text())
    late = {image["id"] for image in content["images"][::5]}
    data = root / "data"
    write(data, whole, content, lambda image: image not in late)
    assert main(["train", *tiny, f"--data={data}", f"--output={root / 'run'}", "--dataset.val_fraction=0.4"]) == 0
    write(data, whole, content, lambda image: True)
    return data, root / "run"


def write(data, whole, content, wanted, rename=str):
    """A dataset of one split with the images that are wanted."""
    (data / "annotations").mkdir(parents=True, exist_ok=True)
    (data / "train").mkdir(exist_ok=True)
    images = [dict(image) for image in content["images"] if wanted(image["id"])]
    for image in images:
        name = rename(image["file_name"])
        shutil.copy(whole / "train" / image["file_name"], data / "train" / name)
        image["file_name"] = name
    annotations = [a for a in content["annotations"] if wanted(a["image_id"])]
    content = {**content, "images": images, "annotations": annotations}
    (data / "annotations" / "instances_train.json").write_text(json.dumps(content))


def evaluated(folder):
    return {found["image_id"] for found in json.loads((folder / "predictions.json").read_text())}


def test_added_images_move_none_into_the_validation_part(grown, tmp_path, capsys):
    _, run = grown
    assert main(["evaluate", f"--checkpoint={run / 'best.pt'}", f"--output={tmp_path}"]) == 0
    assert "was trained on" not in capsys.readouterr().out
    assert evaluated(run) < evaluated(tmp_path)


def test_a_run_goes_on_with_its_parts_whatever_the_seed(grown, tmp_path, capsys):
    _, finished = grown
    run = shutil.copytree(finished, tmp_path / "run")
    assert main(["train", f"--output={run}", "--resume=true", "--seed=1", "--train.iterations=3"]) == 0
    assert "seed 0 -> 1" in capsys.readouterr().out and evaluated(finished) <= evaluated(run)


def test_images_that_were_trained_on_are_told_under_other_names_too(grown, tmp_path, capsys):
    data, run = grown
    content = json.loads((data / "annotations" / "instances_train.json").read_text())
    write(tmp_path / "renamed", data, content, lambda image: True, rename="photo {}".format)
    assert main(["evaluate", f"--checkpoint={run / 'best.pt'}", f"--data={tmp_path / 'renamed'}", "--split=train"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "was trained on" in line)
    trained = 16 - len(evaluated(run))
    assert f"best.pt was trained on {trained} of these 20 images" in line


def test_validation_on_what_was_trained_on_is_refused(trained, shapes, tmp_path, capsys):
    run, data = shutil.copytree(trained, tmp_path / "run"), shutil.copytree(shapes, tmp_path / "data")
    shutil.rmtree(data / "val")
    shutil.copytree(data / "train", data / "val")
    shutil.copy(data / "annotations" / "instances_train.json", data / "annotations" / "instances_val.json")
    assert main(["train", f"--output={run}", "--resume=true", f"--data={data}", "--train.iterations=3"]) == 2
    message = "was trained on 6 of the 6 validation images, which would make the evaluation too good"
    assert message in capsys.readouterr().err


def test_weights_tested_on_the_split_that_chose_them_are_told(tiny, shapes, tmp_path, capsys):
    once, often = tmp_path / "once", tmp_path / "often"
    for run, every in ((once, 2), (often, 1)):
        length = ["--train.iterations=2", f"--train.evaluate_every={every}"]
        assert main(["train", *tiny, f"--data={shapes}", f"--output={run}", *length]) == 0
    told = []
    for run, split in ((once, "val"), (often, "val"), (often, "train")):
        for command in (["evaluate", f"--checkpoint={run}", f"--data={shapes}/"], ["report", str(run)]):
            capsys.readouterr()
            assert main([*command, f"--split={split}"]) == 0
            told.append("best.pt is what scored best on val" in capsys.readouterr().out)
    assert told == [False, False, True, True, False, False]
