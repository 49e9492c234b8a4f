"""The automatic choice heeds what is given: whatever one setting is given as, the others fit it."""

import pytest

from detection.automatic.configure import fit_to_data
from detection.cli.main import main
from detection.config.command_line import CommandLine
from detection.config.origin import read_origins
from detection.config.read import flat, to_dict
from detection.config.schema import Config
from detection.errors import InputError


@pytest.fixture(scope="module")
def fit(shapes):
    """The dotted settings for the shapes with some given, as one would type them."""

    def fit(words=""):
        return flat(to_dict(fit_to_data(CommandLine.read([f"--data={shapes}", *words.split()], Config)).config))

    return fit


def test_the_learning_rate_and_the_length_fit_a_given_batch(fit):
    usual, given = fit(), fit("--batch 8")
    assert given["train.lr"] == pytest.approx(4 * usual["train.lr"])
    assert given["train.iterations"] * 8 <= usual["train.iterations"] * usual["train.batch"]
    assert fit("--train.accumulate 4")["train.batch"] % 4 == 0
    assert fit("--batch 8 --lr 0.3")["train.lr"] == 0.3


def test_the_rate_and_decay_fit_the_optimiser(fit):
    small, large = fit("--train.optimizer adamw --batch 4"), fit("--train.optimizer adamw --batch 16")
    assert large["train.lr"] == pytest.approx(1e-4) and small["train.lr"] == pytest.approx(5e-5)
    assert large["train.weight_decay"] == 0.05 and fit("--batch 4")["train.weight_decay"] == 1e-4


def test_a_given_time_leaves_the_length_to_the_clock(fit):
    found = fit("--time 2h")
    assert (found["train.time"], found["train.iterations"], found["train.epochs"]) == ("2h", None, None)
    assert found["train.evaluate_every"] is None and found["train.warmup"] == 500


def test_warmup_and_evaluations_fit_a_given_length(fit):
    for words, total in (("--train.iterations 8", 8), ("--epochs 2 --batch 2", 6)):
        found = fit(words)
        assert found["train.warmup"] == total // 4 and found["train.evaluate_every"] <= total
        assert (found["train.iterations"] is None) == ("epochs" in words)


@pytest.mark.parametrize(
    ("words", "sides"),
    [
        ("--input.test_short_side 320 --input.long_side 533", ([256, 288, 320], 320, 533)),
        ("--input.test_short_side 320", ([256, 288, 320], 320, 533)),
        ("--size 320", ([256, 288, 320], 320, 533)),
        ("--input.long_side 200", ([64, 96], 96, 200)),
        ("--input.long_side 96", ([32], 32, 96)),
        ("--input.train_short_sides [128,160]", ([128, 160], 160, 266)),
        ("--input.train_short_sides [128,160] --input.test_short_side 64", ([128, 160], 64, 160)),
    ],
)
def test_sizes_fit_each_other_whichever_is_given(fit, words, sides):
    found = fit(words)
    assert (found["input.train_short_sides"], found["input.test_short_side"], found["input.long_side"]) == sides


@pytest.mark.parametrize(
    ("words", "network"),
    [
        ("--model vgg16", ("vgg16", "vgg16")),
        ("--backbone vgg16_bn", ("vgg16", "vgg16_bn")),
        ("--model c4", ("c4", "resnet18")),
        ("--model dc5 --backbone resnet50", ("dc5", "resnet50")),
    ],
)
def test_the_network_is_complete_whichever_part_is_given(fit, words, network):
    found = fit(words)
    assert (found["model.architecture"], found["model.backbone"]) == network
    assert len(found["model.anchors.sizes"]) == 1


def test_what_cannot_go_with_what_was_chosen_says_that_it_was_chosen(fit):
    with pytest.raises(InputError, match=r"input.long_side: 100 .*, 320; input.train_short_sides \[100\] was chosen"):
        fit("--input.long_side 100 --input.test_short_side 320")
    with pytest.raises(InputError, match="model.backbone vgg16 was chosen .*and can be set too"):
        fit("--model vgg16 --model.rematerialise")
    with pytest.raises(InputError, match="train.lr: -1.0 is out of range"):
        fit("--lr -1")


def test_config_yaml_says_what_was_given_and_what_chosen(tiny, shapes, tmp_path):
    words = ["train", *tiny, f"--data={shapes}", f"--output={tmp_path / 'run'}"]
    assert main(words) == 0
    known = read_origins((tmp_path / "run" / "config.yaml").read_text())
    assert known["train.iterations"].origin == "given" and known["train.clip"].origin == "chosen"
    assert known["train.clip"].why and "train.momentum" not in known
    assert main(["train", "--resume", str(tmp_path / "run"), "--train.iterations=5"]) == 0
    later = read_origins((tmp_path / "run" / "config.yaml").read_text())
    assert later.pop("resume").origin == "given" and later == known
