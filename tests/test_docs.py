"""The README and docs/ stay true: links lead somewhere, commands and options exist, Python blocks are sound."""

import re
import shlex
from pathlib import Path

import pytest
from option_names import options_of

from detection.cli.main import COMMANDS, EXPERIMENTS
from detection.config.command_line import CommandLine
from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CONFIG = {"train": Config, "pretrain": PretrainConfig}
EXPERIMENTS_WITH_CONFIG = {"degradation": PretrainConfig, "gradients": PretrainConfig, "reproduce": Config}


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub names them."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands_in(page: Path) -> list[str]:
    """Every `frcnn ...` of a page, in blocks and in the text, without comments; continued lines are joined."""
    text = page.read_text()
    blocks = "\n".join(re.findall(r"(?ms)^```\w*\n(.*?)^```", text)).replace("\\\n", " ")
    inline = [" ".join(each.split()) for each in re.findall(r"`(frcnn [^`]+)`", re.sub(r"(?ms)^```.*?^```", "", text))]
    lines = [line.split(" #")[0].strip() for line in blocks.splitlines()]
    return [line for line in [*lines, *inline] if line.startswith("frcnn ")]


def test_the_readme_is_short():
    assert len(PAGES[0].read_text().split()) < 700


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            place = page.parent / file if file else page
            assert place.exists(), target
            assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for line in commands_in(page):
        if "..." in line.split()[1:2] or "COMMAND" in line:
            continue
        words = [word for word in shlex.split(line)[1:] if word not in ("...", "[--output", "DIR]", "[--fix", "OUT]")]
        assert words[0].startswith("--") or words[0] in {*COMMANDS, *EXPERIMENTS}, line
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if words[0] in WITH_CONFIG:
            CommandLine.read(words[1:], WITH_CONFIG[words[0]])
        elif words[0] in COMMANDS or words[0] in EXPERIMENTS:
            rest = options - options_of(words[0], monkeypatch) - {"--help"}
            if words[0] in EXPERIMENTS_WITH_CONFIG:
                CommandLine.read([f"{option}=1" for option in rest - {"--config"}], EXPERIMENTS_WITH_CONFIG[words[0]])
            else:
                assert not rest, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_are_python(page):
    for block in re.findall(r"(?ms)^```python\n(.*?)^```", page.read_text()):
        compile(block, str(page), "exec")


def test_tests_that_pages_name_exist():
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/]+\.py::\w+)`", page.read_text())}
    assert named
    for file, test in (name.split("::") for name in named):
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_every_page_is_in_the_sites_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert [page.name for page in PAGES[1:] if f"- {page.relative_to(ROOT / 'docs')}" not in navigation] == []
