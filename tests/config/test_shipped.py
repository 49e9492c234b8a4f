"""The configs that come with the toolkit are found by name, in a checkout and where it is installed."""

import configparser
from pathlib import Path

import pytest

from detection.cli.main import main
from detection.config.command_line import CommandLine
from detection.config.schema import Config
from detection.config.shipped import FOLDER, config_in, find_config, shipped_configs, summary_of
from detection.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["coco/r50_fpn_1x", "coco/r50_fpn_1x.yaml", "configs/coco/r50_fpn_1x.yaml"])
def test_a_config_is_found_by_name_wherever_one_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name).samefile(ROOT / "configs/coco/r50_fpn_1x.yaml")
    assert CommandLine.read(["--config", name], Config).files == (str(find_config(name)),)


def test_a_file_of_ones_own_goes_before_and_a_wrong_name_is_refused_with_near_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bccd").write_text("train: {epochs: 1}\n")
    assert find_config("bccd") == Path("bccd")
    with pytest.raises(InputError, match="r50_fpn: no such file, .*; did you mean coco/r50_fpn_1x"):
        find_config("coco/r50_fpn")


def test_those_of_an_experiment_are_found_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_in(FOLDER / "paper", "voc_vgg16").is_file()
    with pytest.raises(InputError, match="voc_vgg.yaml: no such config; in this folder there is .*voc_vgg16"):
        config_in(FOLDER / "paper", "voc_vgg")


def test_all_are_listed_with_what_they_are_for_and_printed(capsys):
    assert main(["configs"]) == 0
    listed = capsys.readouterr().out
    for name, path in shipped_configs().items():
        assert f"{name} " in listed and len(summary_of(path)) > 20
    assert main(["configs", "quickstart"]) == 0
    assert capsys.readouterr().out == (ROOT / "configs/quickstart.yaml").read_text()


def test_the_package_has_all_rooms_and_all_configs():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    rooms = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("backbones", "detection")
        for path in (ROOT / top).rglob("*.py")
    }
    assert set(setup["options"]["packages"].split()) == rooms | {"detection.configs"}
    assert {p.relative_to(ROOT / "configs").parts.__len__() for p in (ROOT / "configs").rglob("*.yaml")} == {1, 2}
