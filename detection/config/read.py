"""Configuration from YAML and options, typed and checked; wrong keys and values are refused by name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from detection.config.command_line import CommandLine, keys_of, kind_of, unknown
from detection.config.origin import Setting, annotated_yaml, explained, read_origins
from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config
from detection.config.validate import validate, validate_pretrain
from detection.errors import InputError
from detection.files.documents import load_yaml

set_parsing_settings(docstring_parse_attribute_docstrings=True)

AnyConfig = Config | PretrainConfig
C = TypeVar("C", Config, PretrainConfig)

PARSE_ERRORS = (ArgumentError, OSError, ValueError, RecursionError, yaml.YAMLError)


def read_config(words: list[str] | CommandLine, kind: type[C], settings: Sequence[Setting] = ()) -> C:
    """The config of a command line. `settings`, chosen or inherited, yield to the file and the options.

    Raises `InputError` for an unknown key, a wrong type, a value out of range or a combination that cannot be.
    """
    line = CommandLine.read(words, kind) if isinstance(words, list) else words
    config = draft_config(line, kind, settings)
    try:
        _validate(config)
    except InputError as error:
        raise InputError(_faulty_file(line, kind, error) + explained(str(error), settings)) from error
    return config


def draft_config(line: CommandLine, kind: type[C], settings: Sequence[Setting] = ()) -> C:
    """The same before its ranges and combinations are checked: what it leaves open may still be chosen."""
    for file in line.files:
        if Path(file).is_file():
            load_yaml(Path(file), "a config file")  # what jsonargparse would read without end is refused before it
    parser = _parser(kind)
    try:
        parser.set_defaults({setting.key: setting.value for setting in settings})
        return _build(parser.parse_args(line.words), parser, kind)
    except PARSE_ERRORS as error:
        raise InputError(_faulty_file(line, kind, error) + one_line(error, kind)) from error


def resumed(line: CommandLine, config: AnyConfig) -> CommandLine:
    """Where a command line, read as `config`, resumes a run and names no file: the settings are those in the run's
    folder, and only what is given besides differs. Else the command line as it is."""
    own = Path(config.output) / "config.yaml"
    if not config.resume or line.files or not own.is_file():
        return line
    return dataclasses.replace(line, files=(str(own),))


def origins(line: CommandLine, config: AnyConfig, settings: Sequence[Setting] = ()) -> dict[str, Setting]:
    """Dotted key -> where the value in `config` comes from, for all that are not left at their defaults. What a file
    holds is given by it; the config.yaml of a run says itself where each value was from."""
    found = {setting.key: setting for setting in settings}
    for file in line.files:
        noted = read_origins(Path(file).read_text(encoding="utf-8"))
        content = load_yaml(Path(file), "a config file") or {}
        found |= noted or {key: Setting(key, None, "given", f"in {file}") for key in flat(content)}
    found |= {key: Setting(key, None, "given") for key in line.given}
    values = flat(to_dict(config))
    return {key: dataclasses.replace(each, value=values[key]) for key, each in found.items() if key in values}


def flat(content: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted keys with their values."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Sections within sections, from dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        *above, last = key.split(".")
        section = found
        for part in above:
            section = section.setdefault(part, {})
        section[last] = value
    return found


def from_dict(content: dict[str, Any], origin: Path, kind: type[C]) -> C:
    """The config that a checkpoint holds."""
    parser = _parser(kind)
    try:
        config = _build(parser.parse_object(content), parser, kind)
        _validate(config)
        return config
    # jsonargparse raises what it meets in values of foreign types: TypeError, AttributeError, RecursionError, ...
    except Exception as error:
        raise InputError(
            f"{origin}: its configuration is not of this version: {one_line(error)}; use the version that wrote it"
        ) from error


def to_dict(config: AnyConfig) -> dict[str, Any]:
    """Plain nested values, ready for YAML and checkpoints."""
    return dataclasses.asdict(config)


def to_yaml(config: AnyConfig) -> str:
    return annotated_yaml(config, {})


def one_line(error: Exception, kind: type[AnyConfig] | None = None) -> str:
    """jsonargparse explains over several lines, by Python's types, what is said here in one; kind: whose keys they
    are."""
    text = str(getattr(error, "message", None) or error)
    text = re.sub(r"\s+", " ", text).strip()
    text = text.removeprefix("Validation failed: ").removeprefix("Parser key ")
    wrong = re.match(r'"([\w.]+)": .*(?:Got|Given) value: (.*)$', text)
    fields = keys_of(kind) if kind else {}
    if wrong and wrong[1] in fields:
        return f"{wrong[1]}: {wrong[2]!r} does not fit; it must be {kind_of(fields[wrong[1]])}"
    alien = re.match(r"(?:Group '([\w.]+)' does not accept o|O)ption '(.+?)'", text)
    if alien and kind:
        return unknown(f"{alien[1]}.{alien[2]}" if alien[1] else alien[2], kind, "", "setting")
    return text


def _parser(kind: type[AnyConfig]) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(kind, as_group=False)
    return parser


def _build(parsed: Namespace, parser: ArgumentParser, kind: type[C]) -> C:
    """The dataclass of what a parser returned."""
    _refuse_values_for_sections(parsed, kind, "")
    made = parser.instantiate(parsed)
    return kind(**{field.name: made[field.name] for field in dataclasses.fields(kind)})


def _validate(config: AnyConfig) -> None:
    if isinstance(config, Config):
        validate(config)
    else:
        validate_pretrain(config)


def _faulty_file(line: CommandLine, kind: type[AnyConfig], error: Exception) -> str:
    """`FILE: `, to begin a message with, where a config file is wrong by itself; else nothing."""
    for file in line.files:
        parser = _parser(kind)
        try:
            config = _build(parser.parse_args(["--config", file]), parser, kind)  # type: ignore[type-var]
            _validate(config)
        except PARSE_ERRORS as alone:
            # A file may rightly lack what the options add: only what fails in the same way without them is its fault.
            if not isinstance(error, InputError) or str(alone) == str(error):
                return f"{file}: "
    return ""


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
