"""Where each setting of a run comes from: given by the user, chosen by looking at the data, or inherited."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

_COMMENTED = re.compile(r"((?:  )*)(\w+):(.*)")
_COMMENT = re.compile(r"  # (given|chosen|inherited)(?:: (.*))?$")


@dataclass(frozen=True)
class Setting:
    """One setting with its history.

    key: dotted; value: as it is in the config; origin: `given` on the command line or in a file, `chosen` by looking
    at the data, `inherited` from the weights that the run begins with; why: a few words, the file where there is one.
    """

    key: str
    value: Any
    origin: Literal["given", "chosen", "inherited"]
    why: str = ""

    def __str__(self) -> str:
        """Such as `chosen: no steps to tune`."""
        return f"{self.origin}: {self.why}" if self.why else self.origin


def explained(message: str, settings: Iterable[Setting]) -> str:
    """The message, with what it says of a value that nobody typed: that it was chosen or inherited."""
    notes = [
        f"{s.key} {s.value} was {s.origin} ({s.why}) and can be set too"
        for s in settings
        if s.origin != "given" and re.search(rf"(?<![\w.]){re.escape(s.key)}(?![\w.])", message)
    ]
    return "; ".join([message, *notes])


def annotated_yaml(config: Any, origins: Mapping[str, Setting]) -> str:
    """YAML of a config dataclass, a line for each setting, with a comment on each that is not a default."""
    return "\n".join(_lines(config, origins, "", "")) + "\n"


def read_origins(text: str) -> dict[str, Setting]:
    """Dotted key -> origin, from the comments of what `annotated_yaml` wrote; empty for other files."""
    found: dict[str, Setting] = {}
    above: list[str] = []
    for line in text.splitlines():
        parts = _COMMENTED.fullmatch(line)
        if parts is None:
            continue
        indent, key, rest = parts.groups()
        above = [*above[: len(indent) // 2], key]
        comment = _COMMENT.search(rest)
        if comment:
            dotted = ".".join(above)
            found[dotted] = Setting(dotted, None, comment[1], comment[2] or "")  # type: ignore[arg-type]
    return found


def _lines(section: Any, origins: Mapping[str, Setting], above: str, indent: str) -> list[str]:
    lines = []
    for field in dataclasses.fields(section):
        value, key = getattr(section, field.name), f"{above}{field.name}"
        if dataclasses.is_dataclass(value):
            lines += [f"{indent}{field.name}:", *_lines(value, origins, f"{key}.", indent + "  ")]
            continue
        line = f"{indent}{field.name}: {_flow(value)}"
        lines.append(f"{line}  # {' '.join(str(origins[key]).split())}" if key in origins else line)
    return lines


def _flow(value: Any) -> str:
    """The value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("...\n").strip()
