"""A config for data that nobody wrote one for: what is given, inherited from the weights, and chosen for the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from detection.automatic.choose import choose_settings
from detection.config.command_line import CommandLine
from detection.config.origin import Setting
from detection.config.ranges import check_ranges
from detection.config.read import draft_config, origins, read_config, resumed
from detection.config.schema import Config
from detection.engine.hardware import Hardware
from detection.loading.datasets import Splits, find_data, load_splits
from detection.loading.detectors import model_settings
from detection.parallel import choose_device


@dataclass(frozen=True)
class FittedConfig:
    """A config that fits its data. settings: what was inherited and chosen for it; lines: what to say of the data and
    of the choice."""

    config: Config
    settings: tuple[Setting, ...]
    splits: Splits
    lines: tuple[str, ...]


def fit_to_data(line: CommandLine) -> FittedConfig:
    """Read the data that a command line names, and choose all that it leaves open.

    Raises `InputError` for what cannot be read, and for given settings that do not go together or with the choice.
    """
    draft = draft_config(line, Config)
    check_ranges(draft)
    inherited = _inherited(draft.model.weights)
    draft = draft_config(line, Config, inherited)
    source = find_data(draft)
    strict = line.gives("dataset.invalid")
    splits = load_splits(draft if strict else replace(draft, dataset=replace(draft.dataset, invalid="skip")))
    hardware = Hardware.of(choose_device(draft.device))
    given = {*line.given, *(setting.key for setting in inherited)}
    chosen = choose_settings(splits.train, hardware, draft.dataset.val in source.splits, draft, given)
    settings = (*inherited, *chosen)
    config = read_config(line, Config, settings)
    lines = [f"{draft.data}: {source.format} data, splits {', '.join(source.splits)}"]
    lines.append(f"given: {' '.join(f'--{key} {value}' for key, value in line.given.items())}")
    return FittedConfig(config, settings, splits, (*lines, *_told(splits.train.class_names, inherited, chosen)))


@dataclass(frozen=True)
class Configured:
    """A training as it was asked for. origins: where its settings come from; splits: None where a config names the
    data, which are then read later; lines: what to say of the choice."""

    config: Config
    origins: dict[str, Setting]
    splits: Splits | None = None
    lines: tuple[str, ...] = ()


def configure(line: CommandLine) -> Configured:
    """What a command line asks for: a resumed run as its folder says, a config, or what is chosen for the data. Raises
    `InputError` like `read_config` and `fit_to_data`."""
    line = resumed(line, draft_config(line, Config))
    if line.files:
        config = read_config(line, Config)
        return Configured(config, origins(line, config))
    fitted = fit_to_data(line)
    return Configured(fitted.config, origins(line, fitted.config, fitted.settings), fitted.splits, fitted.lines)


def _inherited(weights: str | None) -> list[Setting]:
    """Settings of the model that begins with the weights of a file."""
    file = Path(weights or "")
    if not file.is_file():
        return []
    return [Setting(key, value, "inherited", f"from {file}") for key, value in model_settings(file).items()]


def _told(names: tuple[str, ...], inherited: list[Setting], chosen: list[Setting]) -> list[str]:
    lines = [f"classes: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"]
    if inherited:
        lines.append(f"model settings {inherited[0].why}")
    lines.append("chosen for this data (each can be set on the command line):")
    return lines + [f"  --{each.key} {str(each.value).replace(' ', '')}  ({each.why})" for each in chosen]
