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
        return to_config(parsed, parser, kind)
    # InputError, from values that are out of range, among them
    except PARSE_ERRORS as error:
        raise InputError(_faulty_file(arguments, kind, error) + one_line(error)) from error


def own_config(config: AnyConfig, arguments: list[str]) -> list[str]:
    """Where `arguments`, read as `config`, go on with a run and name no file: options that begin with what the run's
    folder says of it, so that only what is given besides differs. Else none."""
    own = Path(config.output) / "config.yaml"
    if not config.resume or _config_files(arguments) or not own.is_file():
        return []
    return ["--config", str(own), *arguments]


def _faulty_file(arguments: list[str], kind: type[AnyConfig], error: Exception) -> str:
    """`FILE: `, to begin a message with, where the config file among `arguments` is wrong by itself; else nothing."""
    for file in _config_files(arguments):
        parser = config_parser("frcnn", "", kind)
        try:
            to_config(parser.parse_args(["--config", file]), parser, kind)  # type: ignore[type-var]
        except PARSE_ERRORS as alone:
            # A file may rightly lack what the options add: only what fails in the same way without them is its fault.
            if not isinstance(error, InputError) or str(alone) == str(error):
                return f"{file}: "
    return ""


def _config_files(arguments: list[str]) -> list[str]:
    given = [b for a, b in zip(arguments, arguments[1:]) if a == "--config"]
    return given + [a.removeprefix("--config=") for a in arguments if a.startswith("--config=")]


def to_config(parsed: Namespace, parser: ArgumentParser, kind: type[C]) -> C:
    """The checked dataclass of what a parser returned."""
    _refuse_values_for_sections(parsed, kind, "")
    made = parser.instantiate(parsed)
    config = kind(**{field.name: made[field.name] for field in dataclasses.fields(kind)})
    if isinstance(config, Config):
        validate(config)
    else:
        validate_pretrain(config)
    return config


def _refuse_values_for_sections(parsed: Namespace, kind: Any, above: str) -> None:
    """Raise InputError for `train: 3`, which jsonargparse takes until it builds the section."""
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.default_factory):
            section = parsed.get(field.name)
            if not isinstance(section, Namespace):
                raise InputError(
                    f"{above}{field.name}: holds {str(section)[:40]!r}; it must hold settings, `key: value`"
                )
            _refuse_values_for_sections(section, field.default_factory, f"{above}{field.name}.")


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
