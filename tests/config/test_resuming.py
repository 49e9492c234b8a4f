"""What a change of each setting does to a resumed run: every key has an answer, and a refusal touches nothing."""

import hashlib
import shutil

import pytest

from detection.cli.main import main
from detection.config.pretrain import PretrainConfig
from detection.config.read import to_dict
from detection.config.resuming import CLASSIFIER, DETECTOR, changed_settings, flat, refuse_changes
from detection.config.schema import Config
from detection.errors import InputError

TABLES = {"detector": (Config(), DETECTOR), "classifier": (PretrainConfig(), CLASSIFIER)}
EACH = [(kind, key) for kind, (_, table) in TABLES.items() for key in table]


def with_other(config, key):
    """Nested settings in which `key` alone has another value."""
    settings = to_dict(config)
    section = settings
    for part in key.split(".")[:-1]:
        section = section[part]
    section[key.split(".")[-1]] = "another"
    return settings


@pytest.mark.parametrize("kind", TABLES)
def test_every_setting_has_an_answer(kind):
    config, table = TABLES[kind]
    assert set(table) == set(flat(to_dict(config))) and set(table.values()) == {"used", "refused", "free"}


@pytest.mark.parametrize(("kind", "key"), EACH)
def test_a_change_is_told_refused_or_concerns_nothing_computed(kind, key, tmp_path):
    config, table = TABLES[kind]
    before, now = to_dict(config), with_other(config, key)
    told = changed_settings(before, now)
    assert list(told) == ([] if table[key] == "free" else [key])
    if table[key] == "refused":
        with pytest.raises(
            InputError, match=f"cannot change when a run is resumed: {key} .* -> another; use another --output"
        ):
            refuse_changes(before, now, tmp_path)
    else:
        refuse_changes(before, now, tmp_path)


@pytest.mark.parametrize("option", ["--model.width=16", "--dataset.val=train", "--train.metric=AP50"])
def test_a_refused_resume_leaves_the_folder_as_it_was(trained, tmp_path, capsys, option):
    run = shutil.copytree(trained, tmp_path / "run")
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in run.rglob("*") if p.is_file()}
    assert main(["train", f"--output={run}", "--resume=true", option]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and option.split("=")[0].strip("-") in error
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in run.rglob("*") if p.is_file()} == before


def test_resume_alone_goes_on_as_the_folder_says(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    assert main(["train", f"--output={run}", "--resume=true", "--train.iterations=3", "--train.momentum=0.5"]) == 0
    text = capsys.readouterr().out
    assert "train.iterations 2 -> 3, train.momentum 0.9 -> 0.5" in text and "iterations 2 to 3" in text
