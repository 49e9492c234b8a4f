"""`frcnn pretrain`, `frcnn classify` and the experiments, from the command line; and what they refuse."""

import json
import shutil

import pytest
import torch
from PIL import Image

from detection.cli.main import EXPERIMENTS, main


@pytest.fixture
def run(capsys):
    """run(words...): status, stdout and stderr of the command."""

    def command(*words):
        status = main([str(word) for word in words])
        return (status, *capsys.readouterr())

    return command


def test_classify_tests_each_and_the_ensemble_in_every_view(run, pretrained, tmp_path):
    best, last = pretrained / "best.pt", pretrained / "last.pt"
    status, out, _ = run("classify", best, last, "--workers", 0, "--output", tmp_path / "errors.json")
    assert status == 0 and out.count("top1 error") == 3 and "ensemble: " in out and "(12 images, whole)" in out
    rows = json.loads((tmp_path / "errors.json").read_text())
    assert [row["classifier"] for row in rows] == [str(best), str(last), "ensemble"]
    for view in ("1-crop", "10-crop"):
        status, out, _ = run("classify", best, "--view", view, "--size", 20, "--crop", 16, "--split", "val")
        assert status == 0 and f"(12 images, {view})" in out
    assert run("classify", best, "--view", "multi-scale", "--scales", 12, 16, 20)[0] == 0


def test_published_weights_have_their_published_error(run, shared, tmp_path):
    """18.97 % is of all 10,000 test images; a fiftieth of them is tested here, the whole in docs/results.md."""
    weights = f"cifar_resnet20={shared / 'data/cifar_resnets/resnet20.pt'}"
    words = ["lesion", weights, "--data", shared / "data/cifar10_jpeg.tar.xz", "--images", 200, "--results", tmp_path]
    assert run(*words, "--removed", 1, 6, "--swapped", 1, "--draws", 2)[0] == 0
    errors = written(tmp_path, "lesion", figures=2)["error_percent"]["cifar_resnet20"]
    assert 12 < errors["intact"] < 27 and len(errors["without"]) == 9
    assert all(value >= errors["intact"] for value in errors["without"].values())
    assert set(errors["removed"]["1"]) <= set(errors["without"].values())
    assert errors["intact"] < min(errors["removed"]["6"]) and errors["intact"] < min(errors["swapped"]["1"])
    assert all(-1 < tau < 1 for tau in errors["order"]["1"])


def written(folder, name, figures=1):
    assert (folder / f"{name}.md").read_text().startswith("# ")
    assert len(list(folder.glob("*.png"))) == figures
    return json.loads((folder / f"{name}.json").read_text())


def test_degradation_trains_every_net_once_and_lays_them_side_by_side(run, small, classes, tmp_path):
    nets = ["cifar_plain8", "cifar_plain14", "cifar_resnet8", "cifar_resnet8:C"]
    words = ["degradation", "--nets", *nets, "--results", tmp_path / "results", *small, "--net.shortcut=B"]
    words += [f"--data={classes}", f"--output={tmp_path / 'runs'}", "--dataset.val=test", "--dataset.test=null"]
    status, out, _ = run(*words)
    assert status == 0 and "cifar_plain14 ends" in out and "in training error" in out and "| test error % |" in out
    found = written(tmp_path / "results", "degradation")
    kept = torch.load(tmp_path / "runs/cifar_resnet8_C/best.pt", weights_only=True)["model"]
    assert "layer1.0.downsample.0.weight" in kept
    assert list(found["summary"]) == nets and found["runs"]["cifar_plain8"]["train"][-1]["iteration"] == 6
    assert found["command"].startswith("frcnn degradation --nets cifar_plain8")
    again = run(*words)
    assert again[0] == 0 and "iterations 6 to 6" in again[1]
    assert written(tmp_path / "results", "degradation")["runs"] == found["runs"]
    status, _, error = run(*words, "--dataset.val=val")  # runs that were measured on one split are not of another
    assert status == 2 and "dataset.val test -> val" in error
    fresh = [f"--output={tmp_path / 'others'}" if str(word).startswith("--output") else word for word in words]
    assert "| validation error % |" in run(*fresh, "--dataset.val=val")[1]


def test_responses_and_lesions_of_a_trained_net(run, pretrained, tmp_path):
    status, out, _ = run("responses", pretrained / "best.pt", "--results", tmp_path / "a")
    found = written(tmp_path / "a", "responses")
    assert status == 0 and len(found["responses"]["cifar_resnet8"]) == 7 and "| cifar_resnet8 | 7 |" in out
    assert run("lesion", pretrained / "best.pt", "--split", "val", "--results", tmp_path / "b")[0] == 0
    errors = written(tmp_path / "b", "lesion")["error_percent"]["cifar_resnet8"]
    assert list(errors["without"]) == ["layer1.0", "layer2.0", "layer3.0"]


def test_paths_of_a_trained_net(run, pretrained, tmp_path):
    words = ["paths", pretrained / "best.pt", "--split", "val", "--batch", 4, "--draws", 3, "--results", tmp_path]
    status, out, _ = run(*words)
    assert status == 0 and "| cifar_resnet8 | 3 | 1.5 |" in out
    lengths = written(tmp_path, "paths")["lengths"]["cifar_resnet8"]
    assert lengths["paths"] == [0.125, 0.375, 0.375, 0.125] and sum(lengths["gradient"]) == pytest.approx(1)


def test_identity_shortcuts_hold_what_they_promise_in_preactivation_nets_alone(run, classes, tmp_path):
    nets = ["cifar_preact_resnet14", "cifar_resnet14", "cifar_preact_bottleneck20"]
    words = ["identity", "--nets", *nets, "--images", 8, "--data", classes, "--results", tmp_path]
    assert run(*words)[0] == 0
    stages = written(tmp_path, "identity")["stages"]
    assert all(s["forward"] < 1e-12 and s["backward"] < 1e-12 for s in stages["cifar_preact_resnet14, random"])
    assert all(s["forward"] > 0.1 and s["backward"] > 0.1 for s in stages["cifar_resnet14, random"])


def test_gradients_of_random_learning_and_trained_nets(run, small, classes, pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "runs/cifar_resnet8")  # as `frcnn degradation` leaves it
    words = ["gradients", "--nets", "cifar_resnet8", "--trained", pretrained / "best.pt", "--images", 8, *small]
    words += ["--results", tmp_path / "results", f"--data={classes}", f"--output={tmp_path / 'runs'}"]
    assert run(*words)[0] == 0
    found = written(tmp_path / "results", "gradients")
    assert found["stages"]["cifar_resnet8"]["iterations"] == [0, 3, 6]
    assert found["stages"]["cifar_resnet8, trained"]["iterations"] == [0]
    assert all(norm > 0 for norm in found["layers"]["cifar_resnet8, trained"].values())


def test_gradients_relative_to_the_weights(run, small, classes, pretrained, tmp_path):
    words = ["gradients", "--trained", pretrained / "best.pt", "--images", 8, *small, f"--data={classes}", "--relative"]
    status, out, _ = run(*words, "--results", tmp_path)
    assert status == 0 and "divided by those of the same weights" in out
    absolute = run(*words[:-1], "--results", tmp_path / "absolute")
    assert absolute[0] == 0 and "divided" not in absolute[1]
    weight = torch.load(pretrained / "best.pt", weights_only=True)["model"]["conv1.weight"]
    one, other = (
        written(f, "gradients")["layers"]["cifar_resnet8, trained"] for f in (tmp_path / "absolute", tmp_path)
    )
    assert other["conv1"] == pytest.approx(one["conv1"] / float(weight.norm()), rel=1e-4)


def test_an_image_that_does_not_decode_is_one_line_in_the_experiments(run, small, pretrained, classes, tmp_path):
    data = shutil.copytree(classes, tmp_path / "data")
    Image.new("RGB", (18, 18)).save(data / "val/red/0.png")  # of another size, so that images are decoded when used
    Image.new("RGB", (18, 18)).save(data / "train/red/0.png")
    for split in ("val", "train"):
        (data / split / "red/3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    best, results = pretrained / "best.pt", ["--results", tmp_path / "results"]
    gradients = ["gradients", "--trained", best, *results, *small, f"--data={data}", f"--output={tmp_path / 'run'}"]
    for words in (["responses", best, "--data", data, "--split", "val", *results], gradients):
        status, _, error = run(*words)
        assert status == 2 and "3.png" in error and error.count("\n") == 1, error


def test_the_summary_has_the_numbers_of_the_paper(run, tmp_path):
    status, out, _ = run("summary", "--nets", "resnet50", "cifar_resnet20", "--stride-in-1x1", "--results", tmp_path)
    assert status == 0 and "| resnet50 | 50 | 3-4-6-3 | 25.56 | 25.6 | 3.86 | 3.8 |" in out
    assert "| cifar_resnet20 | 20 | 3-3-3 | 0.27 | 0.27 |" in out
    assert written(tmp_path, "summary", figures=0)["nets"]["resnet50"]["depth"] == 50
    status, out, _ = run("summary", "--nets", "plain18", "resnet18", "--shortcut", "C", "--results", tmp_path)
    assert status == 0 and "| plain18 | 18 |" in out


@pytest.mark.parametrize("command", EXPERIMENTS)
def test_every_experiment_explains_its_options(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: frcnn {command}" in text and "--results" in text


class Data:
    """A copy of the classes to be spoiled."""

    def __init__(self, folder):
        self.folder = folder

    def lose_class(self):
        shutil.rmtree(self.folder / "val/green")

    def new_class(self):
        shutil.copytree(self.folder / "val/green", self.folder / "val/pink")

    def corrupt(self):
        (self.folder / "train/red/3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)

    def empty(self):
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.mark.parametrize(
    ("spoil", "options", "named"),
    [
        (Data.lose_class, [], ["val", "green"]),
        (Data.new_class, [], ["val", "pink"]),
        (Data.corrupt, [], ["3.png"]),
        (Data.empty, [], ["no images"]),
        (None, ["--net.name=cifar_resnet21"], ["cifar_resnet21", "6n+2", "20 or 26"]),
        (None, ["--net.name=cifar_plain20", "--net.shortcut=A"], ["plain net has no shortcuts"]),
        (None, ["--net.shortcut=D"], ["shortcut"]),
        (None, ["--net.name=vgg19"], ["vgg19", "vgg16", "resnet18"]),
        (None, ["--net.weights=none.pt"], ["net.weights", "none.pt"]),
        (None, ["--train.metric=top5_error"], ["train.metric", "3 classes"]),
        (None, ["--train.warmup_error=80"], ["train.warmup_error", "at most 1"]),
        (None, ["--input.augment=scale", "--input.short_sides=[12,24]"], ["input.short_sides", "16"]),
        (None, ["--input.crop=40"], ["16", "40"]),
        (None, ["--data=nowhere"], ["nowhere"]),
        (None, ["--statistics=8", "--net.norm=group"], ["statistics", "group"]),
        (None, ["--input.short_sides=[]"], ["input.short_sides"]),
        (None, ["--train.batch=12", "--train.accumulate=12"], ["train.batch", "2 or more"]),
        (None, ["--statistics=1"], ["statistics", "2 or more"]),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_status_2(run, small, classes, tmp_path, spoil, options, named):
    data = Data(shutil.copytree(classes, tmp_path / "data"))
    if spoil:
        spoil(data)
    words = ["pretrain", *small, f"--data={data.folder}", f"--output={tmp_path / 'run'}", *options]
    status, _, error = run(*words)
    assert status == 2 and error.startswith("frcnn: error: ") and error.count("\n") == 1, error
    assert all(name in error for name in named), error
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.pt"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["classify", "none.pt"], ["none.pt", "no such checkpoint"]),
        (["classify", "cifar_resnet20=none.pt"], ["none.pt"]),
        (["classify", "{best}", "--split", "x"], ["'x'", "train, val, test"]),
        (["classify", "{best}", "--view", "1-crop", "--size", "8", "--crop", "16"], ["8", "16"]),
        (["responses", "{best}", "--data", "nowhere"], ["nowhere"]),
        (["gradients"], ["--nets or --trained"]),
        (["identity"], ["--nets or --trained"]),
        (["identity", "--nets", "cifar_preact_bottleneck21", "--data={classes}"], ["9n+2", "20 or 29"]),
        (["summary", "--nets", "resnet7", "--results", "x"], ["resnet7"]),
        (["degradation", "--nets", "cifar_plain8:B", "--data=x", "--train.iterations=2"], ["no shortcuts"]),
        (["degradation", "--nets", "cifar_resnet7", "--data=x", "--train.iterations=2"], ["6n+2"]),
    ],
)
def test_what_the_other_commands_refuse(run, pretrained, classes, words, named):
    status, _, error = run(*[word.format(best=pretrained / "best.pt", classes=classes) for word in words])
    assert status == 2 and error.count("\n") == 1 and all(name in error for name in named), error
