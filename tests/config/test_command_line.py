"""The words of `frcnn train` and `frcnn pretrain`: short names, switches, what is refused, and with which advice."""

import dataclasses

import pytest

from detection.cli.main import main
from detection.config.command_line import SHORT, CommandLine, keys_of
from detection.config.help import long_help, meanings_of, short_help
from detection.config.pretrain import PretrainConfig
from detection.config.read import read_config
from detection.config.schema import Config
from detection.errors import InputError

KINDS = (Config, PretrainConfig)


def given(*words, kind=Config):
    return CommandLine.read(list(words), kind).given


def test_short_names_are_settings():
    words = [
        "--epochs",
        "3",
        "--batch=4",
        "--lr",
        "0.01",
        "--model",
        "c4",
        "--backbone",
        "resnet18",
        "--weights",
        "null",
        "--workers",
        "0",
    ]
    config = read_config([*words, "--size", "300"], Config)
    assert (config.train.epochs, config.train.batch, config.train.lr, config.input.workers) == (3, 4, 0.01, 0)
    assert (config.model.architecture, config.model.backbone, config.model.weights) == ("c4", "resnet18", None)
    sizes = config.input
    assert (sizes.test_short_side, sizes.train_short_sides, sizes.long_side) == (300, [224, 256, 300], 500)
    assert read_config(["--model", "plain18", "--epochs", "1"], PretrainConfig).net.name == "plain18"


@pytest.mark.parametrize("kind", KINDS)
def test_every_short_name_stands_for_a_setting(kind):
    assert set(SHORT[kind].values()) <= set(keys_of(kind))


def test_the_last_of_two_values_counts_whatever_its_spelling():
    assert given("--lr", "1", "--train.lr", "2") == {"train.lr": "2"}
    assert given("--input.long_side", "700", "--size", "300")["input.long_side"] == "500"
    assert given("--size", "300", "--input.long_side", "700")["input.long_side"] == "700"


def test_a_switch_may_stand_alone_and_resume_may_name_the_folder():
    assert given("--resume", "--train.tf32", "--seed", "-1") == {"resume": "true", "train.tf32": "true", "seed": "-1"}
    assert given("--resume", "runs/a") == {"resume": "true", "output": "runs/a"}
    assert given("--resume=false") == {"resume": "false"}


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("--conf some.yaml", "did you mean --config?"),
        ("--train.epoch 3", "did you mean --train.epochs?"),
        ("--input.test_short 512", "did you mean --input.test_short_side?"),
        ("--model.stride-in-1x1 true", "did you mean --model.stride_in_1x1?"),
        ("--momentum 0.9", "did you mean --train.momentum?"),
        ("--epoch 3", "did you mean --epochs?"),
        ("--batch-size 3", "did you mean --batch?"),
        ("--learning-rate 3", "did you mean --lr?"),
        ("--zzz 3", "--help-all lists all"),
        ("--epochs", "needs a value"),
        ("--epochs --batch 3", "--epochs: needs a value"),
        ("shapes", "belongs to no option"),
        ("--size wide", "not a whole number of pixels"),
    ],
)
def test_what_is_no_option_is_refused_with_advice(words, advice, capsys):
    assert main(["train", *words.split()]) == 2
    error = capsys.readouterr().err
    assert advice in error and error.count("\n") == 1


def test_commands_without_settings_refuse_abbreviations_too(capsys):
    assert main(["evaluate", "--check", "best.pt"]) == 2
    assert "--check: there is no such option; did you mean --checkpoint?" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_meaning_and_every_number_a_range(kind):
    free = {"dataset.val_salt", "dataset.hold_out_salt"}
    meanings = meanings_of(kind)
    assert set(meanings) == set(keys_of(kind))
    assert not [key for key, text in meanings.items() if len(text) < 15]
    for key, field in keys_of(kind).items():
        if ("int" in str(field.type) or "float" in str(field.type)) and "Literal" not in str(field.type):
            assert "range" in field.metadata or key in free, key


@pytest.mark.parametrize("kind", KINDS)
def test_help_is_short_and_the_long_one_has_everything(kind):
    short, long = short_help("frcnn train", "Trains.", kind), long_help(kind)
    assert len(short.splitlines()) < 50 and "--epochs" in short and "--momentum" not in short
    assert all(f"  --{key}  " in long for key in keys_of(kind))


def test_asking_for_text_trains_nothing(capsys, tmp_path):
    assert main(["train", "--data", "nowhere", "--print-config", "--size", "320", "--output", str(tmp_path / "x")]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    config = read_config(["--config", str(tmp_path / "printed.yaml"), "--epochs", "1"], Config)
    assert config.input.test_short_side == 320 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_out_of_its_range_is_refused_with_the_range(kind):
    with pytest.raises(InputError, match=r"^train.momentum: 1.0 is out of range; it must be 0 or more, below 1$"):
        read_config(["--epochs", "1", "--train.momentum", "1"], kind)


def test_defaults_lie_in_their_ranges():
    for kind in KINDS:
        for field in keys_of(kind).values():
            if "range" in field.metadata and field.default not in (None, dataclasses.MISSING):
                assert field.default in field.metadata["range"], field.name


def test_options_that_are_no_settings_are_read_beside_them():
    line = CommandLine.read(["--folds", "5", "--dry-run", "--batch", "auto", "--time=2h"], Config)
    assert (line.folds, line.dry, line.fit_batch, line.given) == (5, True, True, {"train.time": "2h"})
    assert CommandLine.read(line.all_words, Config) == line
    with pytest.raises(InputError, match="--dry-run: takes no value, and 'false' was given"):
        CommandLine.read(["--dry-run=false"], Config)
    with pytest.raises(InputError, match="--folds: there is no such option"):
        CommandLine.read(["--folds=5"], PretrainConfig)
    with pytest.raises(InputError, match="train.batch: 'auto' does not fit"):
        read_config(["--batch=auto", "--epochs=1"], PretrainConfig)
    with pytest.raises(InputError, match="train.time: 'soon' is not a time; write it as 2h"):
        read_config(["--time=soon"], Config)
    with pytest.raises(InputError, match="exactly one of train.iterations, train.epochs and train.time"):
        read_config(["--time=2h", "--epochs=1"], Config)
