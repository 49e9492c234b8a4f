"""Configuration: what is refused and by which name, what wins over what, and the files in configs/."""

from pathlib import Path

import pytest

from detection.config.origin import Setting
from detection.config.pretrain import PretrainConfig
from detection.config.read import from_dict, read_config, to_dict, to_yaml
from detection.config.schema import Config
from detection.errors import InputError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


def read(*arguments, chosen=None, kind=Config):
    settings = [Setting(key, value, "chosen", "by a test") for key, value in (chosen or {}).items()]
    return read_config(list(arguments), kind, settings)


def test_option_beats_file_beats_defaults(tmp_path):
    file = tmp_path / "some.yaml"
    file.write_text("train: {iterations: 7, lr: 0.5}\nmodel: {backbone: resnet18}\n")
    config = read("--config", str(file), "--train.lr=0.25", chosen={"train.lr": 1.0, "train.batch": 4, "seed": 9})
    assert (config.train.lr, config.train.iterations, config.train.batch) == (0.25, 7, 4)
    assert (config.model.backbone, config.seed, config.train.momentum) == ("resnet18", 9, 0.9)


@pytest.mark.parametrize("text", ["train: {iterations: 1, lrr: 3}", "model: {roi: {hiden: 3}}", "datas: x"])
def test_unknown_key_in_a_file_is_named_with_the_file(tmp_path, text):
    (tmp_path / "some.yaml").write_text(text)
    key = "lrr" if "lrr" in text else "hiden" if "hiden" in text else "datas"
    with pytest.raises(InputError, match=f"^{tmp_path / 'some.yaml'}: .*{key}") as refusal:
        read("--config", str(tmp_path / "some.yaml"))
    assert "\n" not in str(refusal.value)


def test_unknown_option_missing_file_and_broken_yaml_are_refused(tmp_path):
    (tmp_path / "some.yaml").write_text("train: [")
    for arguments, named in (
        (["--train.lrr=3"], "train.lrr"),
        (["--config", str(tmp_path / "none.yaml")], "none.yaml"),
        (["--config", str(tmp_path / "some.yaml")], "some.yaml"),
    ):
        with pytest.raises(InputError, match=named):
            read(*arguments)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # of another type
        ("train.lr", "fast"),
        ("train.batch", "2.5"),
        ("model.backbone", "resnet19"),
        ("input.train_short_sides", "[a]"),
        # out of range
        ("train.lr", "0"),
        ("train.momentum", "1"),
        ("train.ema", "1.5"),
        ("train.steps", "[0.9,0.5]"),
        ("train.log_every", "0"),
        ("dataset.val_fraction", "1"),
        ("input.train_short_sides", "[]"),
        ("input.workers", "-1"),
        ("input.augment", "[{p: 1.0}]"),
        ("model.width", "12"),
        ("model.roi.nms", "2"),
        ("evaluate.batch", "0"),
        ("seed", "-1"),
        ("train.gamma", "0"),
        ("train.weight_decay", "-1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(key, value):
    with pytest.raises(InputError, match=key.replace(".", r"\.")) as refusal:
        read("--train.iterations=1", f"--{key}={value}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ("", "train.iterations"),
        ("--train.iterations=5 --train.epochs=2", "train.iterations"),
        ("--train.iterations=5 --train.batch=6 --train.accumulate=4", "train.accumulate"),
        ("--train.iterations=5 --model.architecture=vgg16", "model.backbone"),
        ("--train.iterations=5 --model.backbone=vgg16", "model.backbone"),
        ("--train.iterations=5 --model.backbone=resnet18 --model.stride_in_1x1=true", "model.stride_in_1x1"),
        ("--train.iterations=5 --model.weights=null --model.norm=frozen", "model.norm"),
        ("--train.iterations=5 --model.weights=null --model.freeze=2", "model.freeze"),
        ("--train.iterations=5 --model.norm=group", "model.norm"),
        ("--train.iterations=5 --model.rpn.positive_iou=0.2", "model.rpn.negative_iou"),
        ("--train.iterations=5 --model.architecture=c4 --model.anchors.sizes=[[32],[64]]", "model.anchors.sizes"),
        ("--train.iterations=5 --input.long_side=500", "input.long_side"),
        ("--train.iterations=5 --dataset.val=null --train.schedule=plateau", "train.schedule"),
        ("--train.iterations=5 --dataset.val=null --train.patience=2", "train.patience"),
        ("--train.iterations=5 --train.mode=alternating --train.schedule=plateau", "train.schedule"),
    ],
)
def test_what_cannot_go_together_is_refused_by_its_key(options, key):
    with pytest.raises(InputError, match=f"^{key}: "):
        read(*options.split())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_of_ours_loads_and_survives_a_checkpoint(path, tmp_path):
    classifier = path.parent.name in ("cifar10", "imagenet") or path.stem == "pretrain"
    kind = PretrainConfig if classifier else Config
    config = read("--config", str(path), kind=kind)
    assert from_dict(to_dict(config), tmp_path, kind) == config
    (tmp_path / "again.yaml").write_text(to_yaml(config))
    assert read("--config", str(tmp_path / "again.yaml"), kind=kind) == config


def test_a_checkpoint_of_another_version_is_named():
    with pytest.raises(InputError, match="old.pt: its configuration is not of this version: .*warp"):
        from_dict({"train": {"iterations": 1, "warp": 9}}, Path("old.pt"), Config)
