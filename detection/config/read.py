"""Configuration from YAML and dotted options, typed and checked; wrong keys and values are refused by name."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config
from detection.config.validate import validate, validate_pretrain
from detection.documents import load_yaml
from detection.errors import InputError

set_parsing_settings(docstring_parse_attribute_docstrings=True)

AnyConfig = Config | PretrainConfig
C = TypeVar("C", Config, PretrainConfig)

PARSE_ERRORS = (ArgumentError, OSError, ValueError, RecursionError, yaml.YAMLError)


def config_parser(program: str, description: str, kind: type[AnyConfig]) -> ArgumentParser:
    """A parser with an option for every field of `kind`, `--config FILE` and `--print_config`."""
    parser = ArgumentParser(prog=program, description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of the settings below")
    parser.add_class_arguments(kind, as_group=False)
    return parser


def read_config(
    parser: ArgumentParser, arguments: list[str], kind: type[C], defaults: dict[str, Any] | None = None
) -> C:
    """The config of a command line. `defaults`, dotted keys with values, yield to the file and the options.

    Raises `InputError` for an unknown key, a wrong type, a value out of range or a combination that cannot be.
    """
    for file in _config_files(arguments):
        if Path(file).is_file():
            load_yaml(Path(file), "a config file")  # what jsonargparse would read without end is refused before it
    try:
        if defaults:
            parser.set_defaults(defaults)
        parsed = parser.parse_args(arguments)
    except PARSE_ERRORS as error:
        raise InputError(_faulty_file(arguments, kind) + one_line(error)) from error
    return to_config(parsed, parser, kind)


def _faulty_file(arguments: list[str], kind: type[AnyConfig]) -> str:
    """`FILE: `, to begin a message with, where the config file among `arguments` is wrong by itself; else nothing."""
    for file in _config_files(arguments):
        try:
            config_parser("frcnn", "", kind).parse_args(["--config", file])
        except PARSE_ERRORS:
            return f"{file}: "
    return ""


def _config_files(arguments: list[str]) -> list[str]:
    given = [b for a, b in zip(arguments, arguments[1:]) if a == "--config"]
    return given + [a.removeprefix("--config=") for a in arguments if a.startswith("--config=")]


def to_config(parsed: Namespace, parser: ArgumentParser, kind: type[C]) -> C:
    """The checked dataclass of what a parser returned."""
    made = parser.instantiate(parsed)
    config = kind(**{field.name: made[field.name] for field in dataclasses.fields(kind)})
    if isinstance(config, Config):
        validate(config)
    else:
        validate_pretrain(config)
    return config


def from_dict(content: dict[str, Any], origin: Path, kind: type[C]) -> C:
    """The config that a checkpoint holds."""
    parser = config_parser("frcnn", "", kind)
    try:
        return to_config(parser.parse_object(content), parser, kind)
    # jsonargparse raises what it meets in values of foreign types: TypeError, AttributeError, RecursionError, ...
    except Exception as error:
        raise InputError(f"{origin}: its configuration is not of this version: {one_line(error)}") from error


def to_dict(config: AnyConfig) -> dict[str, Any]:
    """Plain nested values, ready for YAML and checkpoints."""
    return dataclasses.asdict(config)


def to_yaml(config: AnyConfig) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def one_line(error: Exception) -> str:
    """jsonargparse explains over several lines what concerns us in one."""
    text = str(getattr(error, "message", None) or error)
    text = re.sub(r"\s+", " ", text).strip()
    return text.removeprefix("Validation failed: ").removeprefix("Parser key ")
