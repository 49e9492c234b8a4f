"""YAML that others wrote, read without running, multiplying or nesting anything without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from detection.errors import InputError

LARGEST = 4 << 20
"""bytes of a file; data.yaml of 20,000 classes has half a megabyte"""
DEEPEST = 40
"""lists and mappings inside one another"""
MOST = 200_000
"""values, counting what an alias repeats as often as it does: a few lines of aliases can stand for billions"""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which builds plain values only, with bounds; a key may not come twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} levels deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def compose_document(self) -> Any:
        node = super().compose_document()
        if _values(node, {}) > MOST:
            raise yaml.YAMLError(f"its aliases repeat more than {MOST} values")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
        return super().construct_mapping(node, deep)


def _values(node: Any, counted: dict[int, int]) -> int:
    """Values below `node`. Raises YAMLError for one that contains itself."""
    if id(node) in counted:
        if counted[id(node)] < 0:
            raise yaml.YAMLError("a value contains itself")
        return counted[id(node)]
    counted[id(node)] = -1
    inner: list[Any] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    counted[id(node)] = 1 + sum(_values(part, counted) for part in inner)
    return counted[id(node)]


def load_yaml(path: Path, kind: str) -> Any:
    """The plain values of the YAML file `path`; `kind` says in the message what to give, such as `a data.yaml`.

    Raises InputError where it cannot be read, is no YAML, asks for Python objects, or is larger, deeper or more often
    repeated than any file that a person writes.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: is larger than {LARGEST >> 20} MiB; give the path of {kind}")
        return yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506, a safe loader
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of {kind}") from error
    # YAMLError, and what PyYAML's own constructors meet: ValueError, KeyError, AttributeError, RecursionError, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a YAML file ({reason}); correct it") from error
