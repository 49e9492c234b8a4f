"""What the packages import is what installing them brings."""

import ast
import configparser
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def imported(top):
    """Names of the packages that the files under `top` import, but for Python's own and ours."""
    names = set()
    for path in (ROOT / top).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"backbones", "detection"}


@pytest.mark.parametrize("top", ["backbones", "detection"])
def test_every_import_is_declared(top):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    lines = setup["options"]["install_requires"] + "\n".join(extras[name] for name in extras if name != "dev")
    declared = {Requirement(line).name.lower().replace("_", "-") for line in lines.split("\n") if line.strip()}
    known = packages_distributions()
    for name in sorted(imported(top)):
        makers = {maker.lower().replace("_", "-") for maker in known.get(name, [name])}
        assert makers & declared, f"{top} imports {name}, of {' or '.join(makers)}, which setup.cfg does not declare"
