"""Every setting of `frcnn train` changes what a run does: two values, two results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from seen import fresh, see

from detection.config.idle import DETECTOR
from detection.config.read import flat, to_dict
from detection.config.schema import Config

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
CROP = '[{"name":"RandomCrop","height":48,"width":48}]'
C4 = "--model.architecture=c4 --model.anchors.sizes=[[16,32]]"
VGG = "--model.architecture=vgg16 --model.backbone=vgg16 --model.anchors.sizes=[[16,32]]"
STEP = "--train.schedule=step --train.steps=[0.5]"
IDLE = {
    "train.schedule": "--train.schedule=cosine",
    "train.optimizer": "--train.optimizer=adamw",
    "train.warmup": "",
    "train.mode": "",
    "dataset.val": "--dataset.val=null",
    "input.tile": "",
    "model.architecture": C4,
    "model.roi.pool": "--model.roi.pool=pool",
    "model.rpn.box_loss": "--model.rpn.box_loss=giou",
    "model.roi.box_loss": "--model.roi.box_loss=giou",
}
"""What leaves settings without effect, by the one that decides."""
STILL = "--train.lr=1e-30 --model.norm=group --train.iterations=4 --train.evaluate_every=1"


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
    "data": Other("{other}"),
    "output": Without(None, "tests/training/test_run.py::test_the_folder_holds_what_was_promised"),
    "device": Other("cuda:7", "status"),
    "processes": Without(None, "tests/test_launch.py::test_two_processes_train_one_detector"),
    "seed": Other("1"),
    "resume": Without(None, "tests/config/test_resuming.py::test_resume_alone_goes_on_as_the_folder_says"),
    "dataset.format": Other("yolo", "status"),
    "dataset.train": Other("val"),
    "dataset.val": Other("train", "curves"),
    "dataset.images": Other("{elsewhere}", "status"),
    "dataset.val_fraction": Other("0.5", "curves", "--dataset.val=none"),
    "dataset.val_salt": Other("2", "curves", "--dataset.val=none --dataset.val_salt=1"),
    "dataset.repeat_factor": Other("0.9"),
    "dataset.invalid": Other("error", "status", "--data={flawed}"),
    "dataset.classes": Other("circle,star"),
    "dataset.merge": Other("circle=round,ring=round"),
    "dataset.single_class": Other("true"),
    "dataset.unlabelled": Other("{unlabelled}"),
    "input.train_short_sides": Other("[96]"),
    "input.test_short_side": Other("96", "curves"),
    "input.long_side": Other("65", base="--data={mixed}"),
    "input.augment": Other("[]"),
    "input.min_visibility": Other("0.9", base=f"--input.augment={CROP}"),
    "input.min_side": Other("30"),
    "input.group_by_aspect": Other("false", base="--data={mixed}"),
    "input.tile": Other("48"),
    "input.tile_overlap": Other("0.5", base="--input.tile=40"),
    "input.tile_visible": Other("0.2", base="--input.tile=40"),
    "input.tile_empty": Other("1", base="--input.tile=40"),
    "input.grey_bits": Other("12", base="--data={grey}"),
    "input.workers": Without("1", "tests/engine/test_hardware.py::test_given_loaders_are_used"),
    "input.skip_unreadable": Other("9", "status", "--data={torn} --dataset.invalid=error --train.iterations=3"),
    "model.architecture": Other("dc5", base=C4),
    "model.backbone": Other("resnet34"),
    "model.weights": Other("{weights}"),
    "model.norm": Other("group"),
    "model.freeze": Other("3", base="--model.weights={weights}"),
    "model.stride_in_1x1": Other("true", base="--model.backbone=resnet50"),
    "model.ceil_pool": Other("true"),
    "model.width": Other("16"),
    "model.fpn_channels": Other("32"),
    "model.head_norm": Other("group"),
    "model.rematerialise": Without(
        "true", "tests/backbones/analysis/test_complexity.py::test_rematerialisation_keeps_less_and_computes_the_same"
    ),
    "model.anchors.sizes": Other("[[12],[24],[32],[64],[128]]"),
    "model.anchors.ratios": Other("[1.0]"),
    "model.anchors.offset": Other("0.5"),
    "model.anchors.rounded": Other("true"),
    "model.anchors.classic": Other("true"),
    "model.rpn.positive_iou": Other("0.35"),
    "model.rpn.negative_iou": Other("0.05"),
    "model.rpn.inside": Other("true"),
    "model.rpn.convolutions": Other("2"),
    "model.rpn.batch_per_image": Other("8"),
    "model.rpn.positive_fraction": Other("0.01"),
    "model.rpn.nms": Other("0.1"),
    "model.rpn.min_side": Other("20"),
    "model.rpn.train_before_nms": Other("10"),
    "model.rpn.train_after_nms": Other("5"),
    "model.rpn.test_before_nms": Other("5", "predictions"),
    "model.rpn.test_after_nms": Other("5", "predictions"),
    "model.rpn.box_loss": Other("giou"),
    "model.rpn.beta": Other("1.0"),
    "model.roi.pool": Other("pool"),
    "model.roi.sampling_ratio": Other("2"),
    "model.roi.positive_iou": Other("0.05"),
    "model.roi.background_iou": Other("0.1"),
    "model.roi.batch_per_image": Other("8"),
    "model.roi.positive_fraction": Other("0.02"),
    "model.roi.append_truth": Other("false"),
    "model.roi.convolutions": Other("1"),
    "model.roi.hidden": Other("16"),
    "model.roi.dropout": Other("0.1", base=VGG),
    "model.roi.class_agnostic": Other("true"),
    "model.roi.context": Other("true", base=C4),
    "model.roi.box_loss": Other("giou"),
    "model.roi.beta": Other("1.0"),
    "model.roi.score": Other("0.9", "predictions"),
    "model.roi.nms": Other("0.05", "predictions"),
    "model.roi.detections": Other("3", "predictions"),
    "train.mode": Other("alternating", "names", "--model.norm=group"),
    "train.step_shares": Other("[2,1,1,1]", "told", "--model.norm=group --train.mode=alternating"),
    "train.batch": Other("3"),
    "train.accumulate": Other("2"),
    "train.iterations": Other("3"),
    "train.epochs": Other("2", base="--train.iterations=null --train.epochs=1"),
    "train.time": Other("0.01s --train.epochs=null", base="--train.iterations=null --train.epochs=1"),
    "train.lr": Other("0.02"),
    "train.optimizer": Other("adamw"),
    "train.momentum": Other("0.5"),
    "train.weight_decay": Other("0.1"),
    "train.norm_decay": Other("0.1"),
    "train.bias_decay": Other("0.1"),
    "train.bias_lr": Other("2"),
    "train.schedule": Other("cosine", base=STEP),
    "train.steps": Other("[0.9]", base=STEP),
    "train.plateau": Other("1", base=f"{STILL} --train.schedule=plateau"),
    "train.gamma": Other("0.5", base=STEP),
    "train.warmup": Other("1", base="--train.iterations=4"),
    "train.warmup_factor": Other("0.5", base="--train.iterations=4 --train.warmup=1"),
    "train.clip": Other("0.01"),
    "train.skip_nonfinite": Without(
        "1", "tests/engine/test_loop.py::test_steps_that_are_not_finite_are_left_out_up_to_a_number"
    ),
    "train.amp": Other("bf16"),
    "train.tf32": Other("true", "status"),
    "train.compile": Without(None, "tests/training/test_run.py::test_the_network_is_compiled_where_asked"),
    "train.ema": Other("0.9", "curves"),
    "train.evaluate_every": Other("1", "curves"),
    "train.log_every": Other("1", "curves"),
    "train.trackers": Without("[wandb]", "tests/engine/test_trackers.py::test_all_are_told_what_a_training_does"),
    "train.checkpoint_every": Other("1", "names"),
    "train.patience": Other("1", "curves", STILL),
    "train.metric": Other("loss", "best", f"{STILL} --train.lr=0.01"),
    "train.pictures": Other("0", "drawn"),
    "evaluate.backend": Without("pycocotools", "tests/evaluation/test_coco_ap.py::test_equals_pycocotools_fixture"),
    "evaluate.batch": Other("3", "curves", "--data={mixed}"),
    "evaluate.report": Other("true", "names"),
}


@pytest.fixture(scope="module")
def run(shapes, tiny, trained, spoiled, tmp_path_factory):
    """What a run with these options, apart by spaces, does; the same options run once."""
    root = tmp_path_factory.mktemp("runs")
    unlabelled = root / "unlabelled.csv"
    unlabelled.write_text("".join(f"{k:06},circle,star\n" for k in range(1, 7)))
    places = {**spoiled, "unlabelled": unlabelled, "weights": trained / "best.pt", "elsewhere": root}

    @cache
    def run(options):
        for name, path in places.items():
            options = options.replace(f"{{{name}}}", str(path))
        return see(fresh(root), ["train", *tiny, f"--data={shapes}", "--output={out}", *options.split()])

    return run


def test_every_setting_is_here():
    assert set(EFFECTS) == set(flat(to_dict(Config())))


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
        assert before.weights == after.weights and before.predictions == after.predictions


def test_what_has_no_effect_under_other_settings_is_told(run):
    """Of every pair in `idle.py`."""
    told = run("--train.schedule=cosine --train.steps=[0.5] --model.rpn.box_loss=giou --model.rpn.beta=1").told
    assert "warning: train.steps [0.5] has no effect with train.schedule cosine" in told
    assert "warning: model.rpn.beta 1.0 has no effect with model.rpn.box_loss giou" in told


@pytest.mark.parametrize(
    ("key", "judge"), [(key, judge) for keys, judge, _ in DETECTOR for key in keys.split() if judge in IDLE]
)
def test_what_is_told_to_have_no_effect_has_none(key, judge, run):
    other = EFFECTS[key].value
    before, after = run(IDLE[judge]), run(f"{IDLE[judge]} --{key}={other}")
    assert f"warning: {key} " in after.told and before.status == after.status == 0
    assert before.weights == after.weights and before.curves == after.curves
