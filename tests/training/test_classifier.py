"""Training a classifier: it learns, goes on exactly, and its weights become a detector's backbone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from detection import checkpoint
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config
from detection.config.schema import Config
from detection.engine.loop import Loop
from detection.engine.signals import Interrupted
from detection.errors import InputError
from detection.loading.classifiers import load_classifier
from detection.loading.detectors import model_settings
from detection.model.build import build_model
from detection.training.classifier import pretrain


@pytest.fixture
def config(small, classes, tmp_path):
    """config(options...) of a small run on the classes into tmp_path/run."""

    def read(*options):
        data = [f"--data={classes}", f"--output={tmp_path / 'run'}"]
        return read_config([*small, *data, *options], PretrainConfig)

    return read


def assert_same(one, other, where):
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def test_colours_are_learned_and_every_file_is_there(config, tmp_path):
    found = pretrain(config("--train.iterations=60", "--train.lr=0.05", "--train.evaluate_every=60"))
    assert found.evaluation["test"]["top1_error"] == 0 and "test of iteration 60: top1 error 0.00 %" in found.summary
    assert json.loads((tmp_path / "run/error.json").read_text())["iteration"] == 60
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"loss", "error", "lr"} <= rows[0].keys() and {"top1_error", "loss"} <= rows[-1].keys()
    assert all(path.exists() for path in found.files)


RECIPES = {
    "in memory, averaged": ["--train.ema=0.9"],
    "warm-up by error, plateau": [
        "--train.warmup_error=0.9",
        "--train.schedule=plateau",
        "--train.plateau=1",
        "--train.evaluate_every=1",
    ],
    "scales and colours": [
        "--input.augment=scale",
        "--input.short_sides=[16,24]",
        "--evaluate.view=1-crop",
        "--evaluate.short_side=18",
    ],
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_run_goes_on_bit_for_bit(config, tmp_path, monkeypatch, recipe):
    options = ["--train.iterations=8", "--train.checkpoint_every=1", *RECIPES[recipe]]
    pretrain(config(*options, f"--output={tmp_path / 'whole'}"))
    step = Loop._step

    def killed(loop, batches):
        if loop.state.progress.iteration == 5:
            raise KeyboardInterrupt
        step(loop, batches)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_step", killed)
        pretrain(config(*options))
    stopped = checkpoint.load(tmp_path / "run/last.pt", "classification")
    pretrain(config(*options, "--resume=true"))
    one, other = (checkpoint.load(tmp_path / run / "last.pt", "classification") for run in ("whole", "run"))
    for key in ("iteration", "metrics", "model", "training"):
        assert_same(one[key], other[key], key)
    if "warm-up" in recipe:  # its end lies beyond the stop
        assert not stopped["training"]["rate"]["warmed_up"] and one["training"]["rate"]["warmed_up"]


def test_the_weights_are_a_backbone_with_and_without_new_statistics(config, tmp_path):
    found = pretrain(config("--net.name=resnet18", "--net.width=8", "--train.iterations=2", "--statistics=35"))
    assert found.files[tmp_path / "run/backbone.pt"].endswith("statistics of 24 training images")  # whole batches
    for file in ("best.pt", "backbone.pt"):
        model = read_detector(tmp_path / "run" / file)
        saved = torch.load(tmp_path / "run" / file, weights_only=True)["model"]
        assert torch.equal(model.backbone.layer2[0].conv1.weight, saved["layer2.0.conv1.weight"])
        assert torch.equal(model.backbone.bn1.running_mean, saved["bn1.running_mean"])
    states = [torch.load(tmp_path / "run" / file, weights_only=True)["model"] for file in ("best.pt", "backbone.pt")]
    assert torch.equal(states[0]["conv1.weight"], states[1]["conv1.weight"])
    assert not torch.equal(states[0]["bn1.running_mean"], states[1]["bn1.running_mean"])


def detector_config(backbone, width, weights):
    options = [f"--model.backbone={backbone}", f"--model.width={width}", f"--model.weights={weights}"]
    return read_config(["--train.iterations=1", *options], Config)


def read_detector(weights):
    return build_model(detector_config("resnet18", 8, weights).model, 3, str(weights))


def test_a_backbone_whose_stride_is_elsewhere_is_refused_or_taken_over(config, tmp_path):
    from detection.training.detector import DetectorTraining

    pretrain(config("--net.name=resnet50", "--net.stride_in_1x1=true", "--train.iterations=1", "--statistics=12"))
    for file in (tmp_path / "run/best.pt", tmp_path / "run/backbone.pt"):
        assert model_settings(file) == {"model.stride_in_1x1": True, "model.ceil_pool": False}
        problem = DetectorTraining.__new__(DetectorTraining)
        problem.config = detector_config("resnet50", 4, file)
        with pytest.raises(InputError, match="model.stride_in_1x1: False, but .* was trained with True"):
            problem.build(from_scratch=True)
    assert load_classifier(str(tmp_path / "run/backbone.pt"), torch.device("cpu")).classes == ("blue", "green", "red")


def test_a_resumed_run_says_which_settings_are_others(config, capsys):
    pretrain(config("--train.iterations=1"))
    pretrain(config("--train.iterations=1", "--resume=true"))
    assert "other settings" not in capsys.readouterr().out
    pretrain(config("--train.iterations=2", "--train.lr=0.05", "--resume=true"))
    assert "with changed settings: train.iterations 1 -> 2, train.lr 0.1 -> 0.05" in capsys.readouterr().out


def test_momentum_and_decays_that_change_on_resume_move_the_weights(config, tmp_path):
    pretrain(config("--train.iterations=2", "--train.evaluate_every=2"))
    found = {}
    changes = ("seed=0", "train.momentum=0.5", "train.weight_decay=0.1", "train.norm_decay=0", "train.bias_decay=1")
    for change in changes:
        run = shutil.copytree(tmp_path / "run", tmp_path / change)
        pretrain(config("--train.iterations=3", f"--{change}", "--resume=true", f"--output={run}"))
        state = checkpoint.load(run / "last.pt", "classification")["model"]
        found[change] = torch.cat([v.flatten() for v in state.values() if v.is_floating_point()])
    assert not any(torch.equal(found["seed=0"], other) for change, other in found.items() if change != "seed=0")


def test_what_is_held_out_stays_so_with_another_seed_and_more_images(config, classes, tmp_path):
    data = shutil.copytree(classes, tmp_path / "data")
    options = [f"--data={data}", "--dataset.val=held", "--train.iterations=1", "--dataset.test=null"]
    pretrain(config(*options))
    first = checkpoint.load(tmp_path / "run/last.pt", "classification")
    assert len(first["trained_on"]) == 36 - 3
    for i in range(12):
        Image.new("RGB", (16, 16), (255, 255, i)).save(data / f"train/red/a{i}.png")
    pretrain(config(*options, "--train.iterations=3", "--seed=1", "--resume=true"))
    second = checkpoint.load(tmp_path / "run/last.pt", "classification")
    assert second["config"]["seed"] == 1 and second["config"]["dataset"] == first["config"]["dataset"]
    before, after = (set(state["trained_on"].tolist()) for state in (first, second))
    assert before <= after and 36 + 12 - 3 <= len(after) <= 36 + 12
    with pytest.raises(
        InputError, match="cannot change when a run is resumed: dataset.hold_out_salt 0 -> 1; use another"
    ):
        pretrain(config(*options, "--dataset.hold_out_salt=1", "--resume=true"))


def test_a_checkpoint_of_the_other_task_is_refused(pretrained, trained):
    with pytest.raises(InputError, match="is a checkpoint of classification; give one that `frcnn train` wrote"):
        checkpoint.load(pretrained / "best.pt", "detection")
    with pytest.raises(InputError, match="is a checkpoint of detection; give one that `frcnn pretrain` wrote"):
        checkpoint.load(trained / "best.pt", "classification")


def test_a_held_out_part_is_where_there_is_no_validation_split(config):
    found = pretrain(config("--dataset.val=held", "--dataset.hold_out=7", "--train.iterations=1"))
    assert set(found.evaluation) == {"validation", "test"}
    with pytest.raises(InputError, match="36 of 36 images cannot be held out"):
        pretrain(config("--dataset.val=held", "--dataset.hold_out=36", "--output=none"))


def test_two_processes_learn_what_one_does(config, small, classes, tmp_path):
    options = [*small, f"--data={classes}", "--net.norm=group", "--train.iterations=4"]
    pretrain(config(*options, f"--output={tmp_path / 'one'}"))
    script = Path(__file__).parents[2] / "tools/pretrain.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*launch, *options, f"--output={tmp_path / 'two'}", "--seed", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / run / "error.json").read_text()) for run in ("one", "two"))
    for split in ("validation", "test"):
        assert one[split] == pytest.approx(two[split], abs=1e-4)


def test_two_processes_evaluate_the_running_statistics_that_are_saved(small, classes, tmp_path):
    script, run = Path(__file__).parents[2] / "tools/pretrain.py", tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    command = [*launch, *small, f"--data={classes}", f"--output={run}", "--train.iterations=1"]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = json.loads((run / "error.json").read_text())["validation"]
    assert rows[-1]["loss"] == pytest.approx(found["loss"], rel=1e-5)


def test_a_signal_to_one_of_two_processes_stops_both_and_saves(small, classes, tmp_path):
    script, run = Path(__file__).parents[2] / "tools/pretrain.py", tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    command = [*launch, *small, f"--data={classes}", f"--output={run}", "--train.iterations=100000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    rare = ["--train.evaluate_every=100000", "--train.log_every=1"]
    process = subprocess.Popen(
        [*command, *rare], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if "/100000  loss" in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert output.count("stopped by SIGTERM: the run is saved") == 2, output
    assert checkpoint.load(run / "last.pt", "classification")["iteration"] >= 1


def test_a_signal_saves_and_the_status_says_so(config, tmp_path, monkeypatch):
    step = Loop._step

    def signalled(loop, batches):
        if loop.state.progress.iteration == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        step(loop, batches)

    monkeypatch.setattr(Loop, "_step", signalled)
    with pytest.raises(Interrupted):
        pretrain(config())
    assert checkpoint.load(tmp_path / "run/last.pt", "classification")["iteration"] == 2
