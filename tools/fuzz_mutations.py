"""Damage done to files at random: to their bytes, and to the values that they hold."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

TOKENS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\r\n", b"[" * 5000, b"{" * 300, b"&a;", b"1e999", b"NaN", b"-0",
    b"9" * 400, b"../", b"\xed\xa0\x80", b"]]>", b"!!python/object/apply:os.system [id]", b"*a", b"&a ", b"%n%s",
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, -(2**31), 2**63, 10**400, 0.5, -0.0, 1e-320, 1e308, float("nan"),
    float("inf"), "", " ", "a", "1", "nan", "\x1b[2Jx", "a\nb", "\ud800", "x" * 5000, "../../etc/passwd",
    "/etc/passwd", "C:\\x", "NUL",
    "<script>alert(1)</script>", "\u202egnp.exe", [], {}, [[]], [0, 0, 0, 0], [1, 2, 3], {"a": 1},
)  # fmt: skip
"""What stands in the place of a value."""

HEADER = 256
"""bytes in which half of the damage is done: there stand sizes and kinds"""


def damage_bytes(content: bytes, random: random.Random) -> bytes:
    """One to eight edits: bits turned, bytes set, spans left out, doubled, moved, zeroed or put in, the end cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        if not data:
            return bytes(random.randbytes(8))
        at = random.randrange(min(len(data), HEADER) if random.random() < 0.5 else len(data))
        length = random.choice((1, 1, 2, 4, 16, 200))
        edit = random.randrange(8)
        if edit == 0:
            data[at] ^= 1 << random.randrange(8)
        elif edit == 1:
            data[at : at + length] = random.randbytes(length)
        elif edit == 2:
            del data[at : at + length]
        elif edit == 3:
            data[at:at] = data[at : at + length] * random.choice((1, 1, 50))
        elif edit == 4:
            data[at : at + length] = bytes([random.choice((0, 255, 127, 128))]) * min(length, len(data) - at)
        elif edit == 5:
            data[at:at] = random.choice(TOKENS)
        elif edit == 6:
            data = data[:at] if random.random() < 0.5 else data[: len(data) - random.randrange(1, 40)]
        else:
            other = random.randrange(len(data))
            data[at : at + length] = data[other : other + length]
    return bytes(data)


def damage_value(tree: Any, random: random.Random, values: tuple[Any, ...] = VALUES) -> Any:
    """A copy of nested lists and dicts with one to three of its values replaced, removed, doubled, renamed, nested."""
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        parent, key = _pick(tree, random)
        if parent is None:
            return random.choice(values)
        edit = random.randrange(7)
        if edit <= 2:
            parent[key] = copy.deepcopy(random.choice(values))
        elif edit == 3:
            del parent[key]
        elif edit == 4 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif edit == 4:
            parent[f"{key}s"] = parent.pop(key)
        elif edit == 5:
            for _ in range(random.choice((1, 60, 3000))):
                parent[key] = [parent[key]] if random.random() < 0.5 else {"x": parent[key]}
        else:
            other, name = _pick(tree, random)
            if other is not None:
                parent[key] = copy.deepcopy(other[name]) if _depth(other[name]) < 50 else None
    return tree


def _pick(tree: Any, random: random.Random) -> tuple[Any, Any]:
    """(container, key) of a random value, the deeper the likelier; (None, None) where there is no container."""
    parent, key, node = None, None, tree
    while isinstance(node, dict | list) and node and (parent is None or random.random() < 0.8):
        parent, key = node, random.choice(list(node)) if isinstance(node, dict) else random.randrange(len(node))
        node = node[key]
    return parent, key


def _depth(tree: Any) -> int:
    depth, layer = 0, [tree]
    while layer and depth < 60:
        depth += 1
        layer = [v for n in layer if isinstance(n, dict | list) for v in (n.values() if isinstance(n, dict) else n)]
    return depth


def damage_xml(content: bytes, random: random.Random) -> bytes:
    """XML with one to three of its elements given another text or name, removed, doubled or nested; or a DOCTYPE."""
    root = ElementTree.fromstring(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        parents = [node for node in root.iter() if len(node)]
        if not parents:
            break
        parent = random.choice(parents)
        child = random.choice(list(parent))
        edit = random.randrange(6)
        if edit <= 1:
            child.text = _xml_text(random.choice(VALUES))
        elif edit == 2:
            parent.remove(child)
        elif edit == 3:
            parent.append(copy.deepcopy(child))
        elif edit == 4:
            child.tag = random.choice(("size", "object", "name", "bndbox", "x", "xmin"))
        else:
            for _ in range(random.choice((1, 100, 900))):
                child = ElementTree.SubElement(child, child.tag)
    text = ElementTree.tostring(root)
    return random.choice(_PROLOGUES) + text if random.random() < 0.1 else text


_PROLOGUES = (
    b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    b'<?xml version="1.0" encoding="utf-7"?>',
    b'<?xml version="1.0" encoding="none"?>',
    b"\xef\xbb\xbf",
)


def _xml_text(value: Any) -> str:
    return "".join(letter for letter in str(value)[:400] if letter.isprintable())


def damage_lines(content: bytes, random: random.Random) -> bytes:
    """Text with one to three of its words replaced, removed or doubled."""
    lines = [line.split() for line in content.decode().splitlines()] or [[]]
    for _ in range(random.choice((1, 1, 2, 3))):
        line = random.choice(lines)
        at = random.randrange(len(line) + 1)
        edit = random.randrange(3)
        if edit == 0:
            line[at : at + 1] = [str(random.choice(VALUES))[:400]]
        elif edit == 1:
            del line[at : at + 1]
        else:
            line[at:at] = line[at : at + 1]
    return "\n".join(" ".join(line) for line in lines).encode("utf-8", "surrogatepass")


Damage = Callable[[bytes, random.Random], bytes]
