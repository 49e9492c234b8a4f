"""The page of `frcnn check-data`: pictures of what it found, on a phone and in the dark, and suggestions that hold."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from detection.automatic.configure import configure
from detection.cli.main import main
from detection.config.command_line import CommandLine, keys_of
from detection.config.read import flat, to_dict
from detection.config.schema import Config
from detection.doctor.findings import RULES

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def page(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the shapes with a stray click, a doubled box, one over the whole image, and a class of a hostile name."""
    root = tmp_path_factory.mktemp("page")
    folder = shutil.copytree(shapes, root / "data")
    file = folder / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    first = content["annotations"][0]
    content["annotations"] += [first | {"id": 901}, first | {"id": 902, "bbox": [5, 5, 0, 0]}]
    content["annotations"] += [first | {"id": 903, "bbox": [0, 0, 96, 96]}]
    content["categories"][0]["name"] = HOSTILE
    file.write_text(json.dumps(content))
    assert main(["check-data", f"--data={folder}", f"--output={root / 'out'}"]) == 2
    return root / "out" / "check.html"


def test_every_finding_with_an_image_shows_it(page):
    content = page.read_text()
    sections = {section.split("</h2>")[0].split(": ")[-1]: section for section in content.split("<section>")[1:]}
    for rule in ("empty box", "duplicate box", "whole image"):
        section = sections[RULES[rule].title]
        assert section.count('<figure><img src="data:image/jpeg;base64,') == 1
    assert "<figure>" not in sections[RULES["class rare"].title]
    outside = re.findall(r'(?:src|href)="(?!data:)[^"]*"', content)
    assert not outside, "the page needs no other file"


def test_it_can_be_read_on_a_phone_and_in_the_dark(browser: Any, page: Path):
    browser.set_window_size(390, 844)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    browser.get(page.as_uri())
    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    colours = browser.execute_script("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
    loaded = browser.execute_script("return [...document.images].every(image => image.naturalWidth > 0)")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    light, dark_paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert wide <= 0 and light > 600 and dark_paper < 100 and loaded
    assert browser.execute_script("return document.scripts.length") == 0
    assert HOSTILE in browser.find_element("tag name", "body").text


def test_train_takes_the_line_that_is_suggested(shapes: Path, tiny: list[str], tmp_path: Path, capsys):
    main(["check-data", f"--data={shapes}", "--quick"])
    suggested = capsys.readouterr().out.split("suggested: ")[1].splitlines()[0]
    words = [f"--data={shapes}", *shlex.split(suggested)]
    config = configure(CommandLine.read(words, Config)).config
    taken = flat(to_dict(config))
    for word, value in zip(words[1::2], words[2::2]):
        assert taken[word.removeprefix("--")] == json.loads(value)
    size = ["--input.train_short_sides=[64]"]
    rest = [word for word in tiny if "short_side" not in word and "long_side" not in word]
    assert main(["train", *rest, *size, *words, f"--output={tmp_path / 'run'}"]) == 0


def test_options_that_a_cure_names_exist():
    known = {f"--{key}" for key in keys_of(Config)} | {"--images", "--grey-bits", "--fix"}
    named = {word for rule in RULES.values() for word in re.findall(r"--[\w.-]*\w", rule.cure)}
    assert named and named <= known
