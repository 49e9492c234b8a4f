"""What the README and docs/ tell people to type does what they say: every block is run, or says why it is not."""

import re
from pathlib import Path
from unittest import SkipTest

import pytest
from shell_lines import NOT_RUN, lines_of
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("bash", "console", "python")
SHOWN = ("text", "json", "yaml", "html")
"""Languages of blocks that are for reading."""


def examples(page, shell):
    """The blocks of a page that are run, in order; a comment `skip: next "why"` above one leaves it out."""
    kinds = {
        "bash": lambda example: [shell.run(line) for line in lines_of(example.parsed, console=False)] and None,
        "console": lambda example: [shell.run(line) for line in lines_of(example.parsed, console=True)] and None,
    }
    parsers = [CodeBlockParser(kind, run) for kind, run in kinds.items()]
    return list(Sybil([*parsers, PythonCodeBlockParser(), SkipParser()]).parse(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page, shell):
    for example in examples(page, shell):
        try:
            example.evaluate()
        except SkipTest as reason:
            assert str(reason)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_its_language(page):
    fences = re.findall(r"(?m)^[ \t]*```(\S*)", page.read_text())
    assert set(fences[::2]) <= {*RUN, *SHOWN} and set(fences[1::2]) <= {""}


def test_what_is_not_run_is_in_a_page():
    blocks = [text for page in PAGES for text in re.findall(r"(?ms)^```(?:bash|console)\n(.*?)^```", page.read_text())]
    lines = [line for block in blocks for line in [*lines_of(block, console=False), *lines_of(block, console=True)]]
    assert [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)] == []


def test_a_line_of_an_unknown_kind_fails(shell):
    with pytest.raises(AssertionError, match="neither run nor listed"):
        shell.run("rm -r runs")
    with pytest.raises(AssertionError, match="predict nothing.jpg"):
        shell.run("frcnn predict nothing.jpg --checkpoint runs/train/best.pt")
