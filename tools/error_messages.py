"""Every message that ends a command, read from the code: what is wrong, what to do, where it is raised."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

RAISED = ("InputError", "DivergedError", "WeightsError")

AREAS = {
    "cli": "Commands and their options",
    "config": "Settings",
    "data": "Datasets",
    "files": "Images, archives and files",
    "doctor": "Checking data",
    "automatic": "Choices for the data",
    "loading": "From a config to data and models",
    "engine": "Training",
    "training": "Training",
    "folds": "Cross-validation",
    "checkpoint": "Checkpoints",
    "interop": "Detectors of other tools",
    "backbones": "Weights of backbones",
    "evaluation": "Evaluation",
    "report": "Reports",
    "predict": "Prediction",
    "export": "Export",
    "serve": "Serving",
    "api": "From Python",
    "classify": "Classification",
    "experiments": "Experiments of the paper",
}
"""Room of the code -> heading, in the order of the page."""


@dataclass(frozen=True)
class Message:
    """text: with <names> for what differs; file: where it is raised, from the root; room: a key of `AREAS` or ''."""

    text: str
    file: str
    room: str

    @property
    def parts(self) -> tuple[str, str]:
        """What is wrong, and what to do, which a message tells after its last semicolon or in all of it."""
        wrong, separator, cure = self.text.rpartition("; ")
        return (wrong, cure) if separator else (self.text, "")


def messages(root: Path = ROOT) -> list[Message]:
    """All that are written out in the code, each once a file. Those that only hand on another's text are left out."""
    found: dict[Message, None] = {}
    for top in ("detection", "backbones"):
        for path in sorted((root / top).rglob("*.py")):
            file = path.relative_to(root).as_posix()
            first, second = (*file.removesuffix(".py").split("/"), "")[:2]
            room = second if first == "detection" else first
            for text in _texts(ast.parse(path.read_text())):
                found[Message(text, file, room if room in AREAS else "")] = None
    return list(found)


def _texts(tree: ast.Module) -> Iterator[str]:
    known = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if isinstance(node, ast.Call) and name in RAISED and node.args:
            given = node.args[0]
            if isinstance(given, ast.Name):
                given = known.get(given.id, given)
            text = " ".join(_text(given).split())
            if sum(letter.isalpha() for letter in _without_names(text)) >= len("missing"):
                yield text


def _text(node: ast.expr) -> str:
    """A string as it is written, with <names> where values go."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"<{_name(node.value)}>"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} / {_text(node.orelse)}"
    return f"<{_name(node)}>"


def _name(node: ast.expr) -> str:
    """What a reader may call the value of an expression."""
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    if isinstance(node, ast.Call):
        return _name(node.args[0] if node.args and not isinstance(node.args[0], ast.Constant) else node.func)
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    if isinstance(node, ast.BinOp):
        return _name(node.left)
    if isinstance(node, ast.Starred):
        return _name(node.value)
    return "..."


def _without_names(text: str) -> str:
    return "".join(part.rpartition(">")[2] for part in text.split("<"))
