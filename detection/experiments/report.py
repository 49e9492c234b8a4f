"""What every experiment leaves: numbers as JSON, a table as Markdown, figures as PNG."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from detection.counted import counted
from detection.engine.provenance import versions
from detection.files.atomic import write_atomically
from detection.markdown import fenced


@dataclass(frozen=True)
class Report:
    """One experiment. name: of its files; command: the words that repeat it; numbers: for the JSON; text: Markdown
    between the heading and the figures; figures: name -> drawing."""

    name: str
    title: str
    command: list[str]
    numbers: dict[str, Any]
    text: str
    figures: dict[str, Figure]

    def write(self, folder: Path) -> dict[Path, str]:
        """Write name.json, name.md and a PNG for each figure; returns file -> what it is."""
        made_with = versions()
        files = {folder / f"{self.name}.json": "the numbers", folder / f"{self.name}.md": "the table"}
        command = shlex.join(self.command)
        content = {"command": command, "versions": made_with, **self.numbers}
        write_atomically(folder / f"{self.name}.json", (json.dumps(content, indent=1) + "\n").encode())
        for name, figure in self.figures.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
            write_atomically(folder / f"{name}.png", buffer.getvalue())
            files[folder / f"{name}.png"] = "the figure"
        write_atomically(folder / f"{self.name}.md", self._markdown(command, made_with).encode())
        return files

    def _markdown(self, command: str, made_with: dict[str, str]) -> str:
        processor = f"{made_with['device']} with {made_with['instruction_set']}"
        machine = f"torch {made_with['torch']}, {processor}, {counted(int(made_with['threads']), 'thread')}"
        parts = [f"# {self.title}", fenced(command), f"Made with {machine}.", self.text.strip()]
        parts += [f"![{self.title}]({name}.png)" for name in self.figures]
        return "\n\n".join(parts) + "\n"


def percent(share: float) -> str:
    """A share as percent with the paper's two digits."""
    return f"{100 * share:.2f}"
