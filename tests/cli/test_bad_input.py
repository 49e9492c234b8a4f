"""Whatever is wrong with what a user gives: status 2, one line that names file and item, nothing left half-written."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from detection.cli.main import main
from detection.data.coco import read_coco
from detection.data.voc import write_voc


class Data:
    """A copy of the shapes to be spoiled: `folder`, its training annotations, its images."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "annotations/instances_train.json"

    def change(self, **values):
        """Give the first annotation of the second image other values."""
        content = json.loads(self.file.read_text())
        second = content["images"][1]["id"]
        next(a for a in content["annotations"] if a["image_id"] == second).update(values)
        self.file.write_text(json.dumps(content))

    def empty(self):
        content = json.loads(self.file.read_text())
        self.file.write_text(json.dumps(content | {"images": [], "annotations": []}))

    def remove(self, name="train/000002.jpg"):
        (self.folder / name).unlink()

    def truncate(self, name="train/000003.jpg"):
        path = self.folder / name
        path.write_bytes(path.read_bytes()[:-800])

    def garble(self):
        (self.folder / "train/000002.jpg").write_text("no picture")


@pytest.fixture
def data(shapes, tmp_path):
    return Data(shutil.copytree(shapes, tmp_path / "data"))


@pytest.fixture
def run(tiny, tmp_path, capsys):
    """run(options...): `frcnn train` of a tiny model into tmp_path/run; its status, stdout and stderr."""

    def train(*options):
        status = main(["train", *tiny, f"--output={tmp_path / 'run'}", *options])
        return (status, *capsys.readouterr())

    return train


def assert_refused(status, error, *named):
    assert status == 2 and error.startswith("frcnn: error: ") and error.count("\n") == 1, error
    for name in named:
        assert name in error


def assert_nothing_half_written(folder):
    """No results, and no temporary file of one that was being written."""
    left = {path.name for path in folder.rglob("*")} if folder.exists() else set()
    assert not left & {"last.pt", "best.pt", "predictions.json", "evaluation.json", "results.csv"}
    assert not [name for name in left if name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (Data.remove, ["instances_train.json", "000002.jpg", "missing"]),
        (Data.garble, ["instances_train.json", "000002.jpg"]),
        (Data.truncate, ["000003.jpg", "truncated"]),
        (lambda d: d.change(bbox=[80, 80, 50, 50]), ["instances_train.json", "000002.jpg", "annotation", "sticks out"]),
        (lambda d: d.change(bbox=[10, 10, 0, 5]), ["instances_train.json", "000002.jpg", "annotation", "is empty"]),
        (lambda d: d.change(category_id=77), ["instances_train.json", "annotation", '"category_id" is 77']),
        (lambda d: d.change(bbox="wide"), ["instances_train.json", "annotation", "bbox"]),
        (Data.empty, ["instances_train.json", "empty split"]),
        (lambda d: d.file.write_text('{"images": ['), ["instances_train.json", "not a JSON file"]),
    ],
    ids=["missing", "garbled", "truncated", "outside", "zero", "category", "box", "empty", "json"],
)
def test_flawed_data_is_refused(data, run, tmp_path, spoil, named):
    spoil(data)
    status, _, error = run(f"--data={data.folder}", "--dataset.invalid=error", "--train.iterations=3")
    assert_refused(status, error, *named)
    assert_nothing_half_written(tmp_path / "run")


def test_a_worker_that_meets_a_broken_image_refuses_it_in_one_line_too(data, run):
    data.truncate()
    options = ["--dataset.invalid=error", "--train.iterations=3", "--input.workers=1"]
    assert_refused(*run(f"--data={data.folder}", *options)[::2], "000003.jpg", "truncated")


def test_flawed_data_is_skipped_counted_and_trained_on_when_asked(data, run, tmp_path):
    data.change(bbox=[10, 10, 0, 5])
    data.truncate()
    data.remove("train/000004.jpg")
    data.remove("val/000001.jpg")
    status, text, _ = run(f"--data={data.folder}", "--dataset.invalid=skip")
    assert status == 0
    for rule in ("empty box: 1, left out", "image unreadable: 1, left out", "4 training and 2 validation images"):
        assert rule in text
    assert text.count("image missing: 1, left out") == 2
    assert (tmp_path / "run/best.pt").is_file()


def test_an_xml_file_without_size_and_image_to_take_it_from_is_refused(shapes, run, tmp_path):
    index = read_coco(shapes / "annotations/instances_train.json")
    write_voc(index, tmp_path / "voc")
    shutil.copytree(shapes / "train", tmp_path / "voc/JPEGImages")
    xml = tmp_path / "voc/Annotations/000002.xml"
    xml.write_text(xml.read_text().replace("size>", "sighs>"))
    (tmp_path / "voc/JPEGImages/000002.jpg").unlink()
    told = run(f"--data={tmp_path / 'voc'}", "--dataset.invalid=error")[::2]
    assert_refused(*told, "000002.xml", "has no <size>, and no image")
    assert_nothing_half_written(tmp_path / "run")


def test_a_wrong_key_in_a_config_file_is_refused(shapes, run, tmp_path):
    (tmp_path / "my.yaml").write_text("train: {iterations: 1, learning_rate: 1}")
    status, _, error = run(f"--data={shapes}", "--config", str(tmp_path / "my.yaml"))
    assert_refused(status, error, "my.yaml", "learning_rate")
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_are_refused(shapes, run, trained, tmp_path):
    torch.save({"other.weight": torch.zeros(2)}, tmp_path / "foreign.pt")
    (tmp_path / "text.pt").write_text("nothing to unpickle")
    for weights, named in (
        (trained / "best.pt", "another architecture"),
        (tmp_path / "foreign.pt", "lacks conv1.weight"),
        (tmp_path / "text.pt", "text.pt"),
        ("IMAGENET_X", "IMAGENET_X"),
    ):
        status, _, error = run(f"--data={shapes}", f"--model.weights={weights}", "--model.width=16")
        assert_refused(status, error, "model.weights" if "pt" not in str(weights) else str(weights), named)
        assert_nothing_half_written(tmp_path / "run")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_file_that_is_no_checkpoint_is_refused(command, shapes, tmp_path, capsys):
    torch.save({"some.weight": torch.zeros(2)}, tmp_path / "foreign.pt")
    (tmp_path / "text.pt").write_text("nothing to unpickle")
    for name, reason in (("foreign.pt", "not a checkpoint that"), ("text.pt", "not a readable checkpoint")):
        image = [str(shapes / "val/000001.jpg")] if command == "predict" else []
        options = [f"--checkpoint={tmp_path / name}", f"--output={tmp_path / 'out'}"]
        assert_refused(main([command, *image, *options]), capsys.readouterr().err, name, reason)
    assert not (tmp_path / "out").exists()


def test_data_with_other_classes_than_the_checkpoint_is_refused(trained, data, capsys):
    for file in data.file.parent.iterdir():
        file.write_text(file.read_text().replace('"star"', '"disc"'))
    status = main(["evaluate", f"--checkpoint={trained / 'best.pt'}", f"--data={data.folder}"])
    assert_refused(status, capsys.readouterr().err, "instances_val.json", "disc", "star")


def test_predictions_of_unknown_images_are_refused(shapes, tmp_path, capsys):
    found = [{"image_id": 999, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}]
    (tmp_path / "found.json").write_text(json.dumps(found))
    status = main(["evaluate", f"--predictions={tmp_path / 'found.json'}", f"--data={shapes}"])
    assert_refused(status, capsys.readouterr().err, "999")


def test_a_folder_that_cannot_be_written_is_refused(shapes, run, trained, tmp_path, capsys):
    (tmp_path / "file").touch()
    output, checkpoint = f"--output={tmp_path / 'file/run'}", f"--checkpoint={trained / 'best.pt'}"
    assert_refused(*run(f"--data={shapes}", output)[::2], "file/run", "cannot be made")
    assert_refused(main(["evaluate", checkpoint, output]), capsys.readouterr().err, "file/run", "cannot be made")
    image = str(shapes / "val/000001.jpg")
    assert_refused(main(["predict", image, checkpoint, output]), capsys.readouterr().err, "file/run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_predict_names_the_broken_image_and_can_skip_it(data, trained, tmp_path, capsys):
    data.truncate("val/000002.jpg")
    output = tmp_path / "out"
    arguments = ["predict", str(data.folder / "val"), f"--checkpoint={trained / 'best.pt'}", f"--output={output}"]
    assert_refused(main(arguments), capsys.readouterr().err, "val/000002.jpg", "truncated")
    assert_nothing_half_written(output)
    assert main([*arguments, "--invalid=skip"]) == 0
    assert "skipped 1 image; the first: " in capsys.readouterr().out
    assert len(json.loads((output / "predictions.json").read_text())) == 2


def test_predict_takes_any_kind_of_image(trained, tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(random.integers(0, 256, (40, 60), dtype=np.uint8)).save(folder / "grey.png")
    Image.fromarray(random.integers(0, 256, (40, 60, 4), dtype=np.uint8)).save(folder / "rgba.png")
    Image.fromarray(random.integers(0, 65536, (40, 60), dtype=np.uint16)).save(folder / "deep.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(random.integers(0, 256, (60, 40, 3), dtype=np.uint8)).save(folder / "turned.jpg", exif=turned)
    options = [f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / 'out'}", "--score=0"]
    assert main(["predict", str(folder), *options]) == 0
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [record["size"] for record in records] == [[40, 60]] * 4
    assert all(record["detections"] for record in records)
    assert all(Image.open(tmp_path / "out" / f"{path.stem}.jpg").size == (60, 40) for path in folder.iterdir())


@pytest.mark.parametrize("clip", ["null", "1"])
def test_a_training_that_diverges_ends_in_one_line_that_names_the_rate(shapes, tiny, tmp_path, capsys, clip):
    options = ["--train.lr=1e6", f"--train.clip={clip}", "--train.iterations=40", "--train.log_every=5"]
    assert main(["train", *tiny, f"--data={shapes}", f"--output={tmp_path / 'run'}", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "train.lr" in error and ("diverged" in error or "not finite" in error)
    assert not (tmp_path / "run/best.pt").exists()
