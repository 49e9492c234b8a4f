"""What MkDocs needs beside docs/: pages made from the code, and the files of the checkout that pages point to.

docs/ is written to be read in the checkout, where a page points to ../results and the README to docs/. The site has no
such places: results, examples and the project's own pages are put beside the pages, and links to them follow.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from error_messages import AREAS, messages
from mkdocs.structure.files import File, Files

import detection
from detection.cli.main import COMMANDS, EXPERIMENTS, main
from detection.config.help import long_help
from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config
from detection.markdown import markdown_table

ROOT = Path(__file__).parents[1]
BESIDE = ("results", "examples")
OWN = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
SUFFIXES = (".md", ".png", ".html", ".py", ".ipynb")


def on_files(files: Files, config: Any) -> Files:
    """All pages of docs/, and those that are made."""
    made = {
        "index.md": (ROOT / "README.md").read_text(),
        "reference/commands.md": _commands(),
        "reference/settings.md": _settings(),
        "reference/python.md": _python(),
        "reference/errors.md": _errors(),
        **{name: (ROOT / name).read_text() for name in OWN},
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for folder in BESIDE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that lead out of docs/, or from the project's own pages into it."""
    if page.file.src_uri in ("index.md", *OWN):
        return markdown.replace("](docs/", "](").replace("](README.md", "](index.md")
    if page.file.src_uri.split("/")[0] in BESIDE:
        return markdown
    markdown = re.sub(r"\]\(\.\./README\.md", "](index.md", markdown)
    return re.sub(r"\]\(\.\./(results|examples|CONTRIBUTING|CHANGELOG|SECURITY)", r"](\1", markdown)


def _commands() -> str:
    parts = [
        "# Commands",
        "As `frcnn COMMAND --help` prints them. All settings of `train` and `pretrain`: [here](settings.md).",
    ]
    for name, meaning in {**COMMANDS, **EXPERIMENTS}.items():
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
            main([name, "--help"])
        parts += [f"## {name}", f"{meaning[0].upper()}{meaning[1:]}", f"```text\n{told.getvalue().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _settings() -> str:
    parts = ["# Settings", "Each is an option of the command and a key of the YAML that `--config` reads."]
    for title, kind in (("Of detectors: train", Config), ("Of classifiers: pretrain", PretrainConfig)):
        parts += [f"## {title}", f"```text\n{long_help(kind)}\n```"]
    return "\n\n".join(parts) + "\n"


def _python() -> str:
    blocks = [f"::: detection.{name}" for name in detection.__all__]
    return "\n\n".join(["# Python", "How they are used together: [In Python](../python.md).", *blocks]) + "\n"


def _errors() -> str:
    parts = [
        "# Messages",
        "Every message that ends a command with status 2, as the code has it; in Python a `detection.InputError`. "
        "`<names>` stand for what differs: files, values, what a library said. What to do about data is in "
        "[datasets](../datasets.md), about what people ask in [questions](../questions.md).",
    ]
    found = messages()
    for title in dict.fromkeys([*AREAS.values(), "Elsewhere"]):
        rows = [[*each.parts, each.file] for each in found if AREAS.get(each.room, "Elsewhere") == title]
        if rows:
            parts += [f"## {title}", markdown_table(["what is wrong", "what to do", "raised in"], sorted(rows))]
    return "\n\n".join(parts) + "\n"
