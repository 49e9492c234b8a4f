"""A config for data that nobody wrote one for: what is given, inherited from the weights, and chosen for the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from detection.automatic.batch import measured_batch
from detection.automatic.choose import choose_settings
from detection.config.command_line import CommandLine
from detection.config.origin import Setting
from detection.config.ranges import check_ranges
from detection.config.read import draft_config, origins, read_config, resumed
from detection.config.schema import Config, InputConfig
from detection.data.dataset import tiles_of
from detection.data.index import AnnotationIndex
from detection.engine.hardware import Hardware
from detection.engine.settings import check_device
from detection.errors import InputError
from detection.loading.datasets import Splits, find_data, load_splits
from detection.loading.detectors import model_settings
from detection.parallel import choose_device, planned_world


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
    fitted = _fitted(line)
    if not line.fit_batch:
        return fitted
    setting, told = _batch(fitted.config, fitted.splits)
    if setting is None:
        return replace(fitted, lines=(*fitted.lines, told))
    again = _fitted(replace(line, given={**line.given, setting.key: str(setting.value)}), fitted.splits)
    settings = (*(each for each in again.settings if each.key != setting.key), setting)
    return replace(again, settings=settings, lines=(*again.lines, told))


def _batch(config: Config, splits: Splits) -> tuple[Setting | None, str]:
    """The batch that a GPU has memory for, None where there is no GPU, and what to say of it."""
    device = choose_device(config.device)
    if device.type != "cuda":
        return None, f"--batch auto: measures the memory of an NVIDIA GPU; on {device} it stays {config.train.batch}"
    if planned_world() > 1:
        raise InputError("--batch auto: measures one process on one GPU; with several, give --batch N")
    check_device(config.train, config.model.norm, "model.norm", device)
    batch, why = measured_batch(config, _seen(splits.train, config.input), device)
    batch = max(batch // config.train.accumulate, 1) * config.train.accumulate
    return Setting("train.batch", batch, "chosen", why), f"--batch auto: {batch}, which {why}"


def _fitted(line: CommandLine, splits: Splits | None = None) -> FittedConfig:
    """splits: where they have been read already."""
    draft = draft_config(line, Config)
    check_ranges(draft)
    inherited = _inherited(draft.model.weights)
    draft = draft_config(line, Config, inherited)
    source = find_data(draft)
    strict = line.gives("dataset.invalid")
    splits = splits or load_splits(draft if strict else replace(draft, dataset=replace(draft.dataset, invalid="skip")))
    hardware = Hardware.of(choose_device(draft.device))
    given = {*line.given, *(setting.key for setting in inherited)}
    seen = _seen(splits.train, draft.input)
    chosen = choose_settings(seen, hardware, draft.dataset.val in source.splits, draft, given)
    settings = (*inherited, *chosen)
    config = read_config(line, Config, settings)
    lines = [f"{draft.data}: {source.format} data, splits {', '.join(source.splits)}"]
    lines.append(f"given: {' '.join(f'--{key} {value}' for key, value in line.given.items())}")
    return FittedConfig(config, settings, splits, (*lines, *_told(splits.train.class_names, inherited, chosen)))


def _seen(index: AnnotationIndex, sizes: InputConfig) -> AnnotationIndex:
    """What the network sees of the images: them, or tiles."""
    tiles = tiles_of(index, sizes)
    return index if tiles is None else tiles.index


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
        return _with_batch(line, config) if line.fit_batch else Configured(config, origins(line, config))
    fitted = fit_to_data(line)
    return Configured(fitted.config, origins(line, fitted.config, fitted.settings), fitted.splits, fitted.lines)


def _with_batch(line: CommandLine, config: Config) -> Configured:
    """A config with the batch that a GPU has memory for, and the rate that goes with it unless that is given."""
    splits = load_splits(config)
    setting, told = _batch(config, splits)
    if setting is None:
        return Configured(config, origins(line, config), splits, (told,))
    given = {**line.given, setting.key: str(setting.value)}
    rate = config.train.lr * setting.value / config.train.batch
    if not line.gives("train.lr"):
        given["train.lr"] = repr(rate)
        told += f"; the learning rate follows it, {config.train.lr:g} -> {rate:g}"
    again = replace(line, given=given)
    made = read_config(again, Config)
    return Configured(made, {**origins(again, made), setting.key: setting}, splits, (told,))


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
