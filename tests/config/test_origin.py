"""Where settings come from: told in messages, and in config.yaml, which stays readable as a config."""

import pytest

from detection.config.command_line import CommandLine
from detection.config.origin import Setting, annotated_yaml, explained, read_origins
from detection.config.read import origins, read_config
from detection.config.schema import Config
from detection.errors import InputError

CHOSEN = [
    Setting("train.batch", 2, "chosen", "images per iteration"),
    Setting("train.iterations", 7, "chosen", "all: of them # really"),
]


@pytest.fixture
def line(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("train: {momentum: 0.5, lr: 0.3}\n")
    return CommandLine.read(["--config", str(file), "--lr", "0.1"], Config)


def test_the_origin_of_each_setting_is_known_and_survives_the_file(line, tmp_path):
    config = read_config(line, Config, CHOSEN)
    known = origins(line, config, CHOSEN)
    assert {key: (each.value, each.origin) for key, each in known.items()} == {
        "train.batch": (2, "chosen"),
        "train.iterations": (7, "chosen"),
        "train.momentum": (0.5, "given"),
        "train.lr": (0.1, "given"),
    }
    text = annotated_yaml(config, known)
    assert f"momentum: 0.5  # given: in {tmp_path / 'own.yaml'}" in text and "lr: 0.1  # given\n" in text
    (tmp_path / "config.yaml").write_text(text)
    assert read_config(["--config", str(tmp_path / "config.yaml")], Config) == config
    assert {key: (each.origin, each.why) for key, each in read_origins(text).items()} == {
        key: (each.origin, each.why) for key, each in known.items()
    }
    again = CommandLine.read(["--config", str(tmp_path / "config.yaml"), "--batch", "4"], Config)
    later = origins(again, read_config(again, Config))
    assert later["train.batch"].origin == "given" and later["train.iterations"].why == "all: of them # really"


def test_a_message_says_that_a_value_was_chosen():
    with pytest.raises(InputError, match="train.accumulate: 4 must divide train.batch, 2; train.batch 2 was chosen"):
        read_config(["--train.accumulate", "4"], Config, CHOSEN)
    assert explained("train.batchwise: is not it", CHOSEN) == "train.batchwise: is not it"
