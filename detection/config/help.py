"""The help of commands whose options are settings: short, with what most runs need, and long, with everything."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import yaml
from docstring_parser import parse_from_object

from detection.config.command_line import SHORT, keys_of, kind_of
from detection.config.read import AnyConfig, flat, to_dict
from detection.config.schema import Config

WIDTH = 110

FIRST = {
    "data": "PATH",
    "output": "FOLDER",
    "config": "FILE",
    "epochs": "N",
    "time": "TIME",
    "batch": "N",
    "lr": "RATE",
    "size": "PIXELS",
    "model": "NAME",
    "backbone": "NAME",
    "weights": "FILE",
    "folds": "K",
    "device": "NAME",
    "workers": "N",
    "resume": "[FOLDER]",
    "classes": "A,B",
    "merge": "A=B,C=B",
    "single-class": "",
}
"""Options that everyone types -> what stands for their value."""

EXTRA = {
    "config": "YAML file with any of the settings, or the name of one that comes with the toolkit",
    "size": "shorter side of the network's input: sets input.test_short_side, input.train_short_sides and "
    "input.long_side together",
    "folds": "cross-validation: K trainings, each tested on a Kth of the images, and one list of doubtful labels",
    "resume": "continue from the last checkpoint in --output, or in FOLDER",
    "help-all": "every setting with its meaning, its range and its default",
    "dry-run": "say what the run would take, by its first steps, and stop; nothing is written",
    "json": "print the result as JSON, for programs; all else goes to the standard error",
    "print-config": "print the settings as YAML, instead of training",
}
"""What options that are no single setting do."""


def short_help(program: str, description: str, kind: type[AnyConfig]) -> str:
    """Usage and the options that everyone types."""
    known, fields, meanings = SHORT[kind], keys_of(kind), meanings_of(kind)
    rows = []
    for name, value in FIRST.items():
        key = known.get(name, name)
        if name in EXTRA and (name not in ("size", "folds") or kind is Config):
            rows.append((f"--{name} {value}", EXTRA[name]))
        elif key in meanings:
            choices = f" ({kind_of(fields[key])})" if "Literal" in str(fields[key].type) else ""
            full = f" [{key}]" if key != name else ""
            rows.append((f"--{name} {value}", meanings[key] + choices + full))
    rows += [(f"--{name}", EXTRA[name]) for name in ("dry-run", "json", "help-all", "print-config")]
    wide = max(len(option) for option, _ in rows) + 4
    lines = [
        f"usage: {program} --data PATH [options]",
        "",
        textwrap.fill(" ".join(description.split()), WIDTH),
        "",
        "options:",
        *(_row(option, meaning, wide) for option, meaning in rows),
        "",
        "Every setting is an option by its full name, such as --train.momentum 0.95.",
    ]
    return "\n".join(lines)


def long_help(kind: type[AnyConfig]) -> str:
    """Every setting in its section: name, type or choices, default, meaning, range."""
    fields, meanings, defaults = keys_of(kind), meanings_of(kind), flat(to_dict(kind()))
    lines, above = [], ""
    for key, field in fields.items():
        section = key.rpartition(".")[0]
        if section != above:
            lines += ["", section]
            above = section
        default = yaml.safe_dump(defaults[key], default_flow_style=True).removesuffix("...\n").strip()
        bounds = f", {field.metadata['range']}" if "range" in field.metadata else ""
        lines.append(f"  --{key}  {kind_of(field)}{bounds}  [default {default}]")
        lines.append(textwrap.indent(textwrap.fill(meanings[key], WIDTH - 6), " " * 6))
    return "\n".join(["settings, each an option, and a key of the YAML that --config reads:", *lines])


def meanings_of(kind: type[AnyConfig]) -> dict[str, str]:
    """Dotted key -> the text under the field."""
    return _meanings(kind, "")


def _meanings(kind: Any, above: str) -> dict[str, str]:
    own: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        own |= {p.arg_name: " ".join((p.description or "").split()) for p in parse_from_object(each).params}
    found = {}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.default_factory):
            found |= _meanings(field.default_factory, f"{above}{field.name}.")
        else:
            found[f"{above}{field.name}"] = own.get(field.name, "")
    return found


def _row(option: str, meaning: str, wide: int) -> str:
    filled = textwrap.wrap(meaning, WIDTH - wide)
    return f"  {option:{wide - 2}}" + f"\n{' ' * wide}".join(filled)
