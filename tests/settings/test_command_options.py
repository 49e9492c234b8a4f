"""Every option of every command changes what the command does, or is refused: two values, two results."""

from __future__ import annotations

import json
import shutil
from functools import cache

import pytest
from command_effects import EFFECTS
from option_names import options_of
from seen import fresh, see

from detection.cli.main import COMMANDS, EXPERIMENTS, main

pytestmark = pytest.mark.thorough

WITH_CONFIG = ("train", "pretrain")
"""Commands whose options are settings, which have tests of their own."""

ELSEWHERE = {
    "prepare-data": "tests/data/test_archives.py",
    "reproduce": "tests/experiments/test_reproduction.py",
    "serve": "tests/serve/test_serve.py",
}
"""Commands that need a network, take minutes or do not end by themselves, and the tests of their options."""


@pytest.mark.parametrize("command", sorted({*COMMANDS, *EXPERIMENTS} - {*WITH_CONFIG, *ELSEWHERE}))
def test_every_option_is_here(command, monkeypatch):
    assert set(EFFECTS[command]) == options_of(command, monkeypatch)


@pytest.fixture(scope="module")
def call(shapes, trained, pretrained, classes, spoiled, tiny, tmp_path_factory):
    """What a command does with these arguments, apart by spaces; the same ones run once."""
    root = tmp_path_factory.mktemp("calls")
    second, other = root / "second", root / "other_classes"
    assert main(["train", *tiny, f"--data={shapes}", f"--output={second}", "--seed=5"]) == 0
    shutil.copytree(classes, other)
    shutil.copytree(trained, root / "own")
    for colour in ("red", "green"):
        (other / "test" / colour / "0.png").unlink()
        (other / "val" / colour / "0.png").unlink()
    places = {"run": trained, "second": second, "data": shapes, "classifier": pretrained, "classes": classes}
    places["own"] = root / "own"
    places |= {"other_classes": other, "done": root / "done", "early": "last.pt", **spoiled}

    @cache
    def call(command, arguments):
        for name, path in places.items():
            arguments = arguments.replace(f"{{{name}}}", str(path))
        folder = fresh(root / "out")
        return folder, see(folder, [command, *arguments.split()])

    return call


def part(called, shows):
    folder, seen = called
    if shows.endswith(".onnx"):
        return (folder / shows).read_bytes()
    if not shows.endswith((".json", ".md")):
        return getattr(seen, shows)
    text = (folder / shows).read_text().replace(str(folder), "{out}")
    return json.loads(text) if shows.endswith(".json") else text


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command, effects in EFFECTS.items() for option in effects]
)
def test_another_value_gives_another_result(command, option, call):
    effect = EFFECTS[command][option]
    before, after = call(command, effect.before), call(command, effect.after)
    told = before[1].told + after[1].told
    if effect.shows != "status":
        assert before[1].status < 2 and after[1].status < 2, told
    assert part(before, effect.shows) != part(after, effect.shows), told
    for _, seen in (before, after) if command != "check-data" else ():  # whose status is what it finds
        assert seen.status < 2 or (seen.told.count("error:") == 1 and seen.told.endswith("\n"))
