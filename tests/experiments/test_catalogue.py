"""`frcnn reproduce --list` names everything in the paper, and what it tells to type can be typed."""

import shlex
from pathlib import Path

import pytest

from backbones.analysis.complexity import complexity
from backbones.nets import make_net
from detection.cli.main import COMMANDS, EXPERIMENTS, main
from detection.experiments.catalogue import CIFAR_PLAIN, CIFAR_RESIDUAL, LAYER_SECONDS, PUBLISHED, RATE
from detection.experiments.reproduction import PAPER

ROOT = Path(__file__).parents[2]


def test_every_table_and_figure_is_named_with_its_cost(capsys):
    assert main(["reproduce", "--list"]) == 0
    said = capsys.readouterr().out
    names = [f"table{k}" for k in range(1, 15)] + [f"figure{k}" for k in range(1, 8)]
    assert [each.name for each in PUBLISHED] == names and all(f"\n{name} " in f"\n{said}" for name in names)
    assert all(each.command or each.note for each in PUBLISHED) and set(PAPER) <= {each.name for each in PUBLISHED}
    assert "COCO, VGG-16 against ResNet-101 (about " in said and "one H100" in said
    assert all(each.hours() > 1 for each in PUBLISHED if each.name in ("table2", "table3", "table7", "table8"))


def test_what_is_not_understood_is_refused_in_a_line(capsys):
    assert main(["reproduce"]) == main(["reproduce", "--list", "table7"]) == 2
    assert [line.split(": ")[:2] for line in capsys.readouterr().err.splitlines()] == [["frcnn", "error"]] * 2


@pytest.mark.parametrize("each", [each for each in PUBLISHED if each.command], ids=lambda each: each.name)
def test_its_command_and_files_exist(each):
    program, command, *words = shlex.split(each.command)
    assert program == "frcnn" and command in {**COMMANDS, **EXPERIMENTS}
    assert all((ROOT / word).is_file() for word in words if word.startswith("configs/"))
    assert not each.needs or each.needs in {other.name for other in PUBLISHED}
    for config, net in each.trains:
        assert (ROOT / config).is_file()
        if net:
            make_net(net, 10)


def test_no_cifar_net_computes_for_longer_than_its_kernels_take_to_start():
    for name in (CIFAR_PLAIN[-1], CIFAR_RESIDUAL[0], CIFAR_RESIDUAL[-1]):
        found = complexity(make_net(name, 10), 32)
        assert 3 * found.multiply_adds * 128 / RATE < LAYER_SECONDS * found.depth
