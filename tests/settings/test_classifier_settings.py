"""Every setting of `frcnn pretrain` changes what a run does: two values, two results."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from seen import fresh, see

from detection.config.idle import CLASSIFIER
from detection.config.pretrain import PretrainConfig
from detection.config.read import flat, to_dict

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
SCALE = "--input.augment=scale --input.short_sides=[16,20]"
STILL = "--train.lr=1e-30 --net.norm=group --train.evaluate_every=1"
DROPS = "--train.schedule=step --train.steps=[0.5]"


@dataclass(frozen=True)
class Other:
    """value: another one than the base's, perhaps with what it needs; shows: the part of `Seen` that it changes;
    base: options of both runs."""

    value: str
    shows: str = "weights"
    base: str = ""


@dataclass(frozen=True)
class Without:
    """A setting whose effect another test shows, since it changes no result, or not within one process; value: another
    one, with which a run finds the same, None where there is none."""

    value: str | None
    test: str


EFFECTS: dict[str, Other | Without] = {
    "data": Other("{flipped}"),
    "output": Without(None, "tests/training/test_run.py::test_the_folder_holds_what_was_promised"),
    "device": Other("cuda:7", "status"),
    "processes": Without(None, "tests/test_launch.py::test_two_processes_train_one_detector"),
    "seed": Other("1"),
    "resume": Without(None, "tests/config/test_resuming.py::test_resume_alone_goes_on_as_the_folder_says"),
    "statistics": Other("12", "names"),
    "dataset.train": Other("test"),
    "dataset.val": Other("train", "curves"),
    "dataset.hold_out": Other("9", "curves", "--dataset.val=none"),
    "dataset.hold_out_salt": Other("2", "weights", "--dataset.val=none --dataset.hold_out_salt=1"),
    "dataset.test": Other("null", "told"),
    "input.augment": Other("area"),
    "input.crop": Other("12"),
    "input.short_sides": Other("[16,16]", base=SCALE),
    "input.pad": Other("3"),
    "input.flip": Other("false"),
    "input.pca": Other("0.5"),
    "input.workers": Without("1", "tests/engine/test_hardware.py::test_given_loaders_are_used"),
    "net.name": Other("cifar_plain8"),
    "net.shortcut": Other("B"),
    "net.width": Other("8"),
    "net.norm": Other("group"),
    "net.stride_in_1x1": Other("true", base="--net.name=resnet50"),
    "net.rematerialise": Without(
        "true", "tests/backbones/analysis/test_complexity.py::test_rematerialisation_keeps_less_and_computes_the_same"
    ),
    "net.ceil_pool": Other("true", base="--net.name=resnet18 --net.width=4"),
    "net.fan_in": Other("true"),
    "net.weights": Other("{weights}"),
    "train.batch": Other("18"),
    "train.accumulate": Other("2"),
    "train.iterations": Other("7"),
    "train.epochs": Other("2", base="--train.iterations=null --train.epochs=1"),
    "train.time": Other("0.01s --train.epochs=null", base="--train.iterations=null --train.epochs=1"),
    "train.lr": Other("0.02"),
    "train.optimizer": Other("adamw"),
    "train.momentum": Other("0.5"),
    "train.weight_decay": Other("0.1"),
    "train.norm_decay": Other("0.1"),
    "train.bias_decay": Other("0.1"),
    "train.bias_lr": Other("2"),
    "train.schedule": Other("cosine"),
    "train.steps": Other("[0.9]"),
    "train.plateau": Other("1", "curves", f"{STILL} --train.schedule=plateau"),
    "train.gamma": Other("0.5", base=DROPS),
    "train.warmup": Other("1"),
    "train.warmup_factor": Other("0.5", base="--train.warmup=1"),
    "train.warmup_error": Other("0.01"),
    "train.clip": Other("0.01"),
    "train.skip_nonfinite": Without(
        "1", "tests/engine/test_loop.py::test_steps_that_are_not_finite_are_left_out_up_to_a_number"
    ),
    "train.amp": Other("bf16"),
    "train.tf32": Other("true", "status"),
    "train.compile": Without(None, "tests/training/test_run.py::test_the_network_is_compiled_where_asked"),
    "train.ema": Other("0.9", "curves"),
    "train.label_smoothing": Other("0.1"),
    "train.metric": Other("loss", "best", "--train.evaluate_every=1"),
    "train.evaluate_every": Other("1", "curves"),
    "train.log_every": Other("1", "curves"),
    "train.trackers": Without("[wandb]", "tests/engine/test_trackers.py::test_all_are_told_what_a_training_does"),
    "train.checkpoint_every": Other("1", "names", "--train.evaluate_every=6"),
    "train.patience": Other("1", "curves", STILL),
    "evaluate.view": Other("multi-scale", "curves", "--evaluate.scales=[24]"),
    "evaluate.short_side": Other("24", "curves", "--evaluate.view=1-crop --evaluate.short_side=16"),
    "evaluate.scales": Other("[16]", "curves", "--evaluate.view=multi-scale --evaluate.scales=[24]"),
    "evaluate.batch": Without("3", "tests/classify/test_class_views.py::test_probabilities_are_means_over_views"),
}
IDLE = {
    "train.schedule": "--train.schedule=cosine",
    "train.optimizer": "--train.optimizer=adamw",
    "dataset.val": "--dataset.val=null",
    "input.augment": "",
}
"""What leaves settings without effect, by the one that decides."""


@pytest.fixture(scope="module")
def run(classes, small, pretrained, tmp_path_factory):
    """What a run with these options, apart by spaces, does; the same options run once."""
    root = tmp_path_factory.mktemp("runs")
    flipped = shutil.copytree(classes, root / "flipped")
    for colour in ("red", "green", "blue"):
        (flipped / "train" / colour / "0.png").unlink()
    places = {"{flipped}": str(flipped), "{weights}": str(pretrained / "best.pt")}

    @cache
    def run(options):
        for name, path in places.items():
            options = options.replace(name, path)
        return see(fresh(root / "out"), ["pretrain", *small, f"--data={classes}", "--output={out}", *options.split()])

    return run


def test_every_setting_is_here():
    assert set(EFFECTS) == set(flat(to_dict(PretrainConfig())))


@pytest.mark.parametrize("key", [key for key, effect in EFFECTS.items() if isinstance(effect, Other)])
def test_another_value_gives_another_result(key, run):
    effect = EFFECTS[key]
    before, after = run(effect.base), run(f"{effect.base} --{key}={effect.value}")
    shown = getattr(before, effect.shows), getattr(after, effect.shows)
    assert shown[0] != shown[1], after.told
    assert f"{key} {effect.value} has no effect" not in after.told
    if effect.shows != "status":
        assert before.status == after.status == 0, before.told + after.told
        assert None not in shown
    elif after.status:
        assert after.status == 2 and after.told.count("error:") == 1 and after.told.endswith("\n")


@pytest.mark.parametrize("key", [key for key, effect in EFFECTS.items() if isinstance(effect, Without)])
def test_what_changes_no_result_changes_none_and_is_tested_elsewhere(key, run):
    effect = EFFECTS[key]
    file, name = effect.test.split("::")
    assert f"def {name}(" in (ROOT / file).read_text()
    if effect.value is not None:
        before, after = run(""), run(f"--{key}={effect.value}")
        assert before.weights == after.weights and before.curves == after.curves


@pytest.mark.parametrize(
    ("key", "judge"), [(key, judge) for keys, judge, _ in CLASSIFIER for key in keys.split() if judge in IDLE]
)
def test_what_is_told_to_have_no_effect_has_none(key, judge, run):
    other = "[16,16]" if key == "input.short_sides" else EFFECTS[key].value
    base = f"{IDLE[judge]} --input.augment=area" if key == "input.pad" else IDLE[judge]
    before, after = run(base), run(f"{base} --{key}={other}")
    assert f"warning: {key} " in after.told and before.status == after.status == 0
    assert before.weights == after.weights and before.curves == after.curves


def test_a_test_split_that_is_not_there_is_refused(run):
    seen = run("--dataset.test=held")
    assert seen.status == 2 and "dataset.test" in seen.told and "there is train, val, test" in seen.told
