"""The house rules that a reader relies on: imports go down, names say what is inside, every setting is used."""

import ast
import dataclasses
import sys
from pathlib import Path

import pytest

from detection.config import schema

ROOT = Path(__file__).parent.parent
LEVELS = {
    "backbones": 0,
    "detection.errors": 0,
    "detection.printable": 0,
    "detection.markdown": 0,
    "detection.tables": 0,
    "detection.files": 0,
    "detection.counted": 0,
    "detection.progress": 0,
    "detection.allocator": 0,
    "detection.threads": 0,
    "detection.records": 0,
    "detection.transfer": 0,
    "detection.parallel": 0,
    "detection.safe_tensors": 0,
    "detection.launch": 0,
    "detection.config": 0,
    "detection.geometry": 1,
    "detection.checkpoint": 1,
    "detection.data": 2,
    "detection.classify": 2,
    "detection.model": 2,
    "detection.evaluation": 3,
    "detection.predict": 3,
    "detection.interop": 3,
    "detection.export": 4,
    "detection.engine": 4,
    "detection.loading": 4,
    "detection.automatic": 5,
    "detection.training": 5,
    "detection.report": 6,
    "detection.doctor": 6,
    "detection.experiments": 6,
    "detection.api": 6,
    "detection.folds": 7,
    "detection.serve": 7,
    "detection.cli": 8,
    "detection.__main__": 9,
}
SEES_CONFIG = tuple(
    f"detection.{name}"
    for name in (
        "config",
        "model.build",
        "data.dataset",
        "engine",
        "loading",
        "automatic",
        "training",
        "report",
        "folds",
        "experiments",
        "api",
        "cli",
    )
)
FILES = sorted(p for top in ("backbones", "detection") for p in (ROOT / top).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return "backbones" if module.startswith("backbones") else ".".join(module.split(".")[:2])


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "detection":
            found |= {f"detection.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.startswith(("backbones", "detection."))}


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__init__.py"], ids=module_of)
def test_imports_go_down(path):
    module = module_of(path)
    room = room_of(module)
    for name in imports_of(path):
        other = room_of(name)
        if other == "detection.__version__" or other == room:
            continue
        assert LEVELS[other] < LEVELS[room] or LEVELS[other] == LEVELS[room] == 0, f"{module} imports {name}"
        if other == "detection.config":
            assert module.startswith(SEES_CONFIG), f"{module} sees the config"
    assert room != "backbones" or all(name.startswith("backbones") for name in imports_of(path))


def test_backbones_know_only_torch():
    for path in FILES:
        if room_of(module_of(path)) == "backbones":
            nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.Import, ast.ImportFrom))]
            names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
            names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
            tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names
            assert tops <= {"backbones", "torch", "torchvision"}, f"{path}: {tops}"


def test_no_module_imports_itself_in_a_circle():
    graph = {module_of(p): {n for n in imports_of(p) if (ROOT / f"{n.replace('.', '/')}.py").exists()} for p in FILES}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module not in done:
            for name in graph.get(module, ()):
                visit(name, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_no_junk_rooms():
    junk = {"utils.py", "util.py", "misc.py", "common.py", "helpers.py", "helper.py", "tools.py"}
    assert not [p for p in FILES if p.name in junk]


LONGEST_FILE, LONGEST_FUNCTION = 300, 60
"""lines"""


def test_files_and_functions_are_short():
    tops = ("backbones", "detection", "tools", "tests", "examples")
    for path in sorted(p for top in tops for p in (ROOT / top).rglob("*.py")):
        text = path.read_text()
        assert len(text.splitlines()) <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"


def test_every_setting_is_read_by_some_code():
    code = "".join(p.read_text() for p in FILES if "config/" not in p.as_posix())
    sections = [c for c in vars(schema).values() if dataclasses.is_dataclass(c)]
    unread = [f"{c.__name__}.{f.name}" for c in sections for f in dataclasses.fields(c) if f".{f.name}" not in code]
    assert not unread
