"""Text and YAML that others wrote, read without running, multiplying or nesting anything without end."""

from __future__ import annotations

import codecs
import os
import stat
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


class _TextLoader(_Loader):
    """The same, but every scalar stays the text that is written: YAML takes yes, no, null and 1e3 for other things."""


_TextLoader.yaml_implicit_resolvers = {}


def load_bytes(path: Path) -> bytes:
    """The content of a file of any size. Raises InputError where it cannot be read, or is a pipe or device, which would
    be waited for without end."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: is no file but a folder, pipe or device; give a file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def load_head(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, to tell what it is. Raises InputError like `load_bytes`."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: is no file but a folder, pipe or device; remove it")
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def load_text(path: Path, kind: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 where it starts with the mark of that. Raises InputError otherwise;
    `kind` says in the message what it must hold."""
    content = load_bytes(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read ({error}); it must hold {kind}, in UTF-8") from error


def load_yaml(path: Path, kind: str, texts: bool = False) -> Any:
    """The plain values of the YAML file `path`; `kind` says in the message what to give, such as `a data.yaml`. texts:
    every value and key as it is written, so that a class called `no` is not False.

    Raises InputError where it cannot be read, is no YAML, asks for Python objects, or is larger, deeper or more often
    repeated than any file that a person writes.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: is larger than {LARGEST >> 20} MiB; give the path of {kind}")
        return yaml.load(load_bytes(path), Loader=_TextLoader if texts else _Loader)  # noqa: S506, safe loaders
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of {kind}") from error
    # YAMLError, and what PyYAML's own constructors meet: ValueError, KeyError, AttributeError, RecursionError, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a YAML file ({reason}); correct it") from error
