"""Whole runs of a tiny detector: resuming, fine-tuning, what the folder holds, learning, several processes."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from detection import checkpoint
from detection.cli.main import main
from detection.config.read import read_config
from detection.config.schema import Config
from detection.data.coco import read_coco
from detection.data.shapes import write_shapes
from detection.errors import InputError
from detection.files.outputs import MARKER
from detection.model.build import build_backbone
from detection.training.detector import DetectionObjective
from detection.training.train import train

PROMISED = "config.yaml versions.json last.pt best.pt metrics.jsonl results.csv tensorboard predictions.json"
STILL = ["--train.lr=1e-30", "--train.iterations=1"]
"""Options that leave weights as they are."""


@pytest.fixture
def config(shapes, tiny, tmp_path):
    """config(options...): of a run on shapes into tmp_path/run; later options win."""

    def read(*options):
        data = [f"--data={shapes}", f"--output={tmp_path / 'run'}"]
        return read_config([*tiny, *data, *options], Config)

    return read


def parameters(path):
    """Weights in a checkpoint that the optimiser moves, so without running statistics."""
    state = checkpoint.load(path, "detection")["model"]
    return {k: v for k, v in state.items() if not k.endswith(("running_mean", "running_var", "num_batches_tracked"))}


def assert_same(one, other, where=""):
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, where


def test_the_folder_holds_what_was_promised(trained):
    names = {*PROMISED.split(), "evaluation.json", "detections.png", "batches", MARKER}
    assert {path.name for path in trained.iterdir()} == names
    rows = (trained / "results.csv").read_text().splitlines()
    assert rows[0].startswith("iteration,AP,") and len(rows) == 2
    best = checkpoint.load(trained / "best.pt", "detection")
    assert best["iteration"] == 2 and len(best["classes"]) == 6 and best["config"]["model"]["width"] == 8


def test_six_steps_equal_three_a_kill_and_three_more(config, tmp_path, monkeypatch):
    options = ["--train.iterations=6", "--train.checkpoint_every=3", "--train.ema=0.9", "--train.warmup=4"]
    train(config(*options, f"--output={tmp_path / 'whole'}"))
    steps, losses = [], DetectionObjective.losses

    def killed(self, model, batch):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return losses(self, model, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DetectionObjective, "losses", killed)
        train(config(*options))
    torch.manual_seed(99)  # another process knows nothing of the first one's random state
    train(config(*options, "--resume=true"))
    for name in ("last.pt", "best.pt"):
        one, other = (
            checkpoint.load(tmp_path / "whole" / name, "detection"),
            checkpoint.load(tmp_path / "run" / name, "detection"),
        )
        for key in ("iteration", "metrics", "model", *(["training"] if name == "last.pt" else [])):
            assert_same(one[key], other[key], f"{name} {key}")
    assert (tmp_path / "whole/predictions.json").read_bytes() == (tmp_path / "run/predictions.json").read_bytes()


def test_a_finished_run_is_not_overwritten_and_resuming_it_changes_nothing(trained, config, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    before = (run / "last.pt").read_bytes()
    with pytest.raises(InputError, match="run: holds a run already; resume it with --resume"):
        train(config())
    finished = train(config("--resume=true"))
    assert finished.evaluation is not None and (run / "last.pt").read_bytes() == before


def killed_at(patch, name, number):
    """A run that dies at the `number`th write of `name`, before anything of it is there."""
    save, seen = checkpoint.save, []

    def dying(path, *rest):
        seen.append(path.name)
        if seen.count(name) == number and path.name == name:
            raise KeyboardInterrupt
        save(path, *rest)

    patch.setattr(checkpoint, "save", dying)


ROUNDS = ["--train.iterations=6", "--train.evaluate_every=2", "--train.metric=loss"]


def test_the_best_weights_are_not_lost_between_the_last_and_the_best(config, tmp_path, monkeypatch):
    train(config(*ROUNDS, f"--output={tmp_path / 'whole'}"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_at(patch, "best.pt", 2)
        train(config(*ROUNDS))
    last = checkpoint.load(tmp_path / "run/last.pt", "detection")
    assert last["iteration"] == last["training"]["best_iteration"] == 4
    assert checkpoint.load(tmp_path / "run/best.pt", "detection")["iteration"] == 2
    train(config("--resume=true", *ROUNDS, "--train.iterations=4"))
    best = checkpoint.load(tmp_path / "run/best.pt", "detection")
    assert best["iteration"] == 4 and best["metrics"] == last["metrics"]
    assert_same(best["model"], last["model"])


def test_a_damaged_last_checkpoint_costs_a_few_steps_and_a_missing_best_one_is_made_up_for(config, tmp_path, capsys):
    train(config(*ROUNDS, f"--output={tmp_path / 'whole'}"))
    run = shutil.copytree(tmp_path / "whole", tmp_path / "run")
    data = bytearray((run / "last.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "last.pt").write_bytes(data)
    (run / ".last.pt.1234567.tmp").write_bytes(b"half")
    capsys.readouterr()
    train(config("--resume=true", *ROUNDS))
    text = capsys.readouterr().out
    assert "last.pt: damaged, its checksum is another; resuming from previous.pt, of iteration 4" in text
    assert "iterations 4 to 6" in text and [path.name for path in run.glob(".*")] == [MARKER]
    for name in ("last.pt", "best.pt"):
        one, other = (checkpoint.load(folder / name, "detection") for folder in (tmp_path / "whole", run))
        assert_same(one["model"], other["model"], name)
    last = checkpoint.load(run / "last.pt", "detection")
    last["training"]["best_iteration"] = 4
    checkpoint.save(run / "last.pt", last)
    (run / "best.pt").unlink()
    train(config("--resume=true", *ROUNDS))
    assert checkpoint.load(run / "best.pt", "detection")["iteration"] == 6
    assert "best.pt: no such checkpoint; the weights of iteration 6 replace it" in capsys.readouterr().out


def test_a_folder_that_goes_away_ends_the_run_in_one_line_and_is_not_made_again(config, tmp_path, monkeypatch):
    losses = DetectionObjective.losses

    def removing(self, model, batch):
        if (tmp_path / "run/best.pt").exists():
            shutil.rmtree(tmp_path / "run")
        return losses(self, model, batch)

    monkeypatch.setattr(DetectionObjective, "losses", removing)
    with pytest.raises(InputError, match="run.*(folder has gone|folder was removed)"):
        train(config(*ROUNDS))
    assert not (tmp_path / "run").exists()


def test_two_runs_cannot_share_a_folder_but_a_dead_one_blocks_nobody(config, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    code = "import sys, time; from pathlib import Path; from detection.files.lock import FolderLock; "
    code += "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(99)"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"run: in use by process {process.pid} on .*; wait for it, stop it, or give"):
        train(config())
    process.kill(), process.wait()
    train(config(*STILL))
    assert not (folder / ".lock").exists()


def test_a_killed_loader_worker_is_one_line(shapes, tiny, tmp_path, monkeypatch, capsys):
    losses = DetectionObjective.losses

    def killing(self, model, batch):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        time.sleep(0.2)
        return losses(self, model, batch)

    monkeypatch.setattr(DetectionObjective, "losses", killing)
    options = [f"--data={shapes}", f"--output={tmp_path / 'run'}", "--input.workers=1", "--train.iterations=50"]
    assert main(["train", *tiny, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("frcnn: error: DataLoader worker (pid") and error.count("\n") == 1 and "Killed" in error


def test_a_signal_to_all_processes_of_a_run_lets_it_save(shapes, tiny, tmp_path):
    script, run = Path(__file__).parents[2] / "tools/train.py", tmp_path / "run"
    options = ["--train.iterations=100000", "--train.log_every=1", "--train.lr=0.001", "--input.workers=2"]
    command = [sys.executable, str(script), *tiny, f"--data={shapes}", f"--output={run}", *options]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "/100000  loss" in line:
            break
    os.killpg(process.pid, signal.SIGTERM)  # as torchrun and job queues do
    output, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and "stopped by SIGTERM: the run is saved" in output, error
    assert checkpoint.load(run / "last.pt", "detection")["iteration"] >= 1 and not error


def other_classes(shapes, folder):
    """The shapes with two classes: circles, and all the rest."""
    shutil.copytree(shapes, folder)
    for path in (folder / "annotations").iterdir():
        content = json.loads(path.read_text())
        first = content["categories"][0]["id"]
        content["categories"] = [{"id": first, "name": "circle"}, {"id": first + 1, "name": "other"}]
        for item in content["annotations"]:
            item["category_id"] = min(item["category_id"], first + 1)
        path.write_text(json.dumps(content))
    return folder


def test_fine_tuning_on_other_classes_replaces_only_the_predictor(trained, config, shapes, tmp_path):
    data, weights = other_classes(shapes, tmp_path / "other"), trained / "best.pt"
    train(config(f"--data={data}", f"--model.weights={weights}", "--model.freeze=0", *STILL))
    before, after = parameters(weights), parameters(tmp_path / "run/best.pt")
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert {name.rsplit(".", 1)[0] for name in changed} == {
        "roi_stage.predictor.scores",
        "roi_stage.predictor.deltas",
    }
    for name in before.keys() - changed:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-20)


def test_weights_of_another_architecture_are_refused_with_the_tensor(trained, config):
    with pytest.raises(InputError, match=r"best.pt: holds another architecture: .* \(8, 3, 7, 7\) there and \(16, 3"):
        train(config(f"--model.weights={trained / 'best.pt'}", "--model.width=16"))


def test_backbone_weights_come_from_a_file(config, tmp_path):
    file = tmp_path / "backbone.pt"
    options = [f"--model.weights={file}", "--model.norm=batch", "--model.freeze=0"]
    torch.manual_seed(5)
    backbone = build_backbone(config(*options).model)
    torch.save(backbone.state_dict(), file)
    train(config(*options, *STILL))
    after = parameters(tmp_path / "run/best.pt")
    for name, value in backbone.named_parameters():
        torch.testing.assert_close(after[f"backbone.{name}"], value.detach(), rtol=0, atol=1e-20)


@pytest.mark.thorough
def test_two_pictures_are_learned_by_heart(config, tmp_path):
    data = write_shapes(tmp_path / "two", train=2, val=1, size=96)
    options = ["--dataset.val=train", "--train.iterations=400", "--train.evaluate_every=400", "--input.augment=[]"]
    model = ["--input.train_short_sides=[96]", "--input.test_short_side=96", "--model.width=16", "--model.norm=group"]
    rate = ["--train.lr=0.02", "--train.clip=5", "--train.schedule=cosine", "--train.warmup=20", "--seed=2"]
    finished = train(config(f"--data={data}", *options, *model, *rate))
    assert finished.evaluation.stats["AP50"] > 0.9


@pytest.mark.thorough
def test_two_processes_write_one_run_and_see_every_image_once(config, shapes, tiny, tmp_path):
    script = Path(__file__).parents[2] / "tools/train.py"
    options = [*tiny, f"--data={shapes}", f"--output={tmp_path / 'run'}", "--config", str(tmp_path / "some.yaml")]
    (tmp_path / "some.yaml").write_text("train: {accumulate: 1}\n")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *options], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 training and 3 validation images") == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} >= set(PROMISED.split())
    results = json.loads((tmp_path / "run/predictions.json").read_text())
    found = [(r["image_id"], r["category_id"], tuple(r["bbox"]), r["score"]) for r in results]
    assert len(found) == len(set(found)) > 0
    index = read_coco(shapes / "annotations/instances_val.json")
    assert {image for image, *_ in found} == set(index.image_ids.tolist())


def test_the_network_is_compiled_where_asked(shapes, tiny, tmp_path, monkeypatch, capsys):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda run, **options: compiled.append(options) or run)
    options = [*tiny, f"--data={shapes}", f"--output={tmp_path / 'run'}", "--train.compile=true"]
    assert main(["train", *options]) == 0
    assert compiled and all(options["dynamic"] for options in compiled)
    assert "compiling the network" in capsys.readouterr().out
