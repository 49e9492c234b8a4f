"""Two and three processes do what one does, and one that dies ends the others."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from detection import checkpoint

pytestmark = pytest.mark.thorough

# All anchors and proposals are sampled, so that ranks have different numbers of them; batch norms would differ.
UNEVEN = ["--model.rpn.batch_per_image=100000", "--model.roi.batch_per_image=512", "--model.norm=group"]
STEP = [*UNEVEN, "--train.batch=6", "--train.iterations=1", "--input.augment=[]", "--train.log_every=1"]
# Every image has as many samples as any other: then neither parts nor processes change what a loss is divided by.
EVEN = ["--model.rpn.batch_per_image=16", "--model.roi.batch_per_image=8", *STEP[2:]]
PARTS = ["--train.accumulate=3", "--model.rematerialise=true"]
WORLDS = (1, 2, 3)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def broken(shapes, tmp_path_factory):
    """The shapes with a training image cut off, which only its decoding tells."""
    data = shutil.copytree(shapes, tmp_path_factory.mktemp("broken") / "shapes")
    image = data / "train/000003.jpg"
    image.write_bytes(image.read_bytes()[:-800])
    return data


@pytest.fixture(scope="module")
def jobs(shapes, broken, tiny, trained, tmp_path_factory):
    """Folder and outcome of every job, by name."""
    folder = tmp_path_factory.mktemp("ranks")
    of_best, data = f"--checkpoint={trained / 'best.pt'}", f"--data={shapes}"
    wanted = []
    for world in WORLDS:
        wanted += [
            {"name": f"train{world}", "arguments": ["train", *tiny, data, *STEP, "--output=run"]},
            {"name": f"evaluate{world}", "arguments": ["evaluate", of_best, "--output=out", "--batch=2"]},
            {"name": f"predict{world}", "arguments": ["predict", str(shapes / "val"), of_best, "--output=out"]},
        ]
        for job in wanted[-3:]:
            job["world"] = world
    long = ["--train.iterations=100000", "--train.checkpoint_every=2", "--train.evaluate_every=100000"]
    faulty = ["train", *tiny, f"--data={broken}", "--dataset.invalid=error", *STEP, "--output=run"]
    wanted += [
        {"name": "killed", "world": 2, "kill": 0.3, "arguments": ["train", *tiny, data, *long, "--output=run"]},
        {"name": "broken", "world": 3, "arguments": faulty},
        {"name": "wrong", "world": 2, "arguments": ["train", *tiny, data, "--train.batch=3", "--output=run"]},
        {"name": "whole1", "world": 1, "arguments": ["train", *tiny, data, *EVEN, "--output=run"]},
        *(
            {"name": f"parts{w}", "world": w, "arguments": ["train", *tiny, data, *EVEN, *PARTS, "--output=run"]}
            for w in (1, 2)
        ),
        *({"name": f"spared{w}", "world": w, "arguments": [*faulty, "--input.skip_unreadable=1"]} for w in (1, 3)),
    ]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("ranks.py"))],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def gradients(folder):
    """After one step from rest, the momentum is the gradient and the decay."""
    state = checkpoint.load(folder / "run/last.pt", "detection")["training"]["optimizer"]["state"]
    return [entry["momentum_buffer"] for entry in state.values()]


def losses(folder):
    return json.loads((folder / "run/metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("name", ["train", "spared"])
def test_gradients_and_losses_are_those_of_one_process(jobs, name):
    folder, outcome = jobs
    worlds = WORLDS if name == "train" else (1, 3)
    assert all(set(outcome[f"{name}{world}"]["status"]) == {0} for world in worlds), outcome[f"{name}{worlds[-1]}"]
    alone = gradients(folder / f"{name}1")
    for world in worlds[1:]:
        for one, several in zip(alone, gradients(folder / f"{name}{world}"), strict=True):
            assert (one - several).norm() <= 1e-5 * one.norm()
        told, wanted = losses(folder / f"{name}{world}"), losses(folder / f"{name}1")
        for key in ("loss", "rpn_objectness", "rpn_box", "roi_class", "roi_box"):
            assert told[key] == pytest.approx(wanted[key], rel=1e-5)


def test_accumulated_and_rematerialised_gradients_are_those_of_one_pass(jobs):
    folder, outcome = jobs
    whole = gradients(folder / "whole1")
    for name in ("parts1", "parts2"):
        assert set(outcome[name]["status"]) == {0}, outcome[name]
        for one, several in zip(whole, gradients(folder / name), strict=True):
            assert (one - several).norm() <= 1e-5 * one.norm()


def test_evaluation_and_prediction_are_those_of_one_process_to_the_last_digit(jobs):
    folder, outcome = jobs
    for world in WORLDS[1:]:
        for name in ("predictions.json", "evaluation.json"):
            wanted = (folder / "evaluate1/out" / name).read_bytes()
            assert (folder / f"evaluate{world}/out" / name).read_bytes() == wanted
        assert outcome[f"evaluate{world}"]["stdout"] == outcome["evaluate1"]["stdout"], "the losses too"
        wanted = (folder / "predict1/out/predictions.json").read_bytes()
        assert (folder / f"predict{world}/out/predictions.json").read_bytes() == wanted
        assert {p.name for p in (folder / f"predict{world}/out").iterdir()} == {
            p.name for p in (folder / "predict1/out").iterdir()
        }
        assert outcome[f"predict{world}"]["stdout"] == outcome["predict1"]["stdout"], "told once"


def test_a_killed_process_ends_the_others_at_once_in_one_line(jobs):
    folder, outcome = jobs
    killed = outcome["killed"]
    assert killed["status"] == [2, -signal.SIGKILL] and killed["seconds"] < 15
    assert killed["stderr"].count("frcnn: error:") == 1 and "another process of this job has ended" in killed["stderr"]
    assert "Traceback" not in killed["stderr"]
    assert checkpoint.load(folder / "killed/run/last.pt", "detection")["iteration"] % 2 == 0


def test_what_one_process_cannot_read_is_told_in_one_line(jobs):
    outcome = jobs[1]["broken"]
    assert set(outcome["status"]) == {2} and outcome["seconds"] < 60
    assert outcome["stderr"].count("000003.jpg") == 1 and "Traceback" not in outcome["stderr"], outcome["stderr"]


def test_what_all_processes_refuse_is_told_once(jobs):
    outcome = jobs[1]["wrong"]
    assert outcome["status"] == [2, 2] and outcome["stderr"].count("\n") == 1, outcome["stderr"]
    assert "train.batch: 3 images cannot be shared by 2 processes" in outcome["stderr"]


def test_an_image_that_cannot_be_read_is_counted_by_all(jobs):
    for world in (1, 3):
        assert jobs[1][f"spared{world}"]["stdout"].count("replaced by another image, 1 of 1 allowed") == 1
        saved = checkpoint.load(jobs[0] / f"spared{world}/run/last.pt", "detection")["training"]["unreadable"]
        assert [Path(name).name for name in saved] == ["000003.jpg"]


def test_torchrun_restarts_a_killed_process_from_the_last_checkpoint(shapes, tiny, tmp_path):
    script, run = Path(__file__).parents[2] / "tools/train.py", tmp_path / "run"
    options = [
        "--train.iterations=40",
        "--train.checkpoint_every=2",
        "--train.evaluate_every=40",
        "--train.log_every=1",
    ]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1"]
    command = [sys.executable, "-m", *torchrun, str(script), *tiny, f"--data={shapes}", f"--output={run}", *options]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    for line in process.stdout:
        if "/40  loss" in line and (run / "last.pt").exists():
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)
            break
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert "iterations 0 to 40" not in output
    assert " to 40 (" in output, "gone on with, though nobody asked to resume"
    steps = [json.loads(line)["iteration"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [*range(1, 41), 40]
