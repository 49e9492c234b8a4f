"""`frcnn train`: from a config, or from nothing but the data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from detection.cli.follow import follow
from detection.config.read import config_parser, own_config, read_config
from detection.config.schema import Config

DESCRIPTION = """Train a Faster R-CNN. Settings come from --config FILE and from options, which win. With --data and no
--config, format, classes, splits, model, input size and schedule are chosen by looking at the data. With --resume true
and no --config, the settings are those of the run in --output, but for what is given besides. Under torchrun every
process takes its share of each batch."""


def main(arguments: list[str]) -> int:
    parser = config_parser("frcnn train", DESCRIPTION, Config)
    if _asks_for_text(arguments):
        parser.parse_args(arguments)  # prints and exits
    automatic = not _gives(arguments, "--config")
    # Without a config the length of the run is not known before the data is; 1 stands in for it.
    draft = {"train.iterations": 1} if automatic and not _gives_length(arguments) else {}
    config = read_config(parser, arguments, Config, draft)
    own = own_config(config, arguments)
    if own:
        automatic, arguments = False, own
        config = read_config(config_parser("frcnn train", DESCRIPTION, Config), arguments, Config)

    from detection.launch import launch
    from detection.parallel import launched

    if config.processes > 1 and not launched():
        return launch("train", arguments, config.processes, config.device)
    splits = None
    if automatic:
        config, splits = _choose(config, arguments)

    from detection.engine.train import train

    return follow(lambda: train(config, splits))


def _choose(config: Config, arguments: list[str]) -> tuple[Config, Any]:
    """Fill what the command line leaves open with what fits the data, and say so."""
    from detection.engine.choose import choose_settings
    from detection.engine.datasets import find_data, load_splits
    from detection.engine.hardware import Hardware
    from detection.engine.restore import model_settings
    from detection.parallel import choose_device

    source = find_data(config)
    lenient = replace(config, dataset=replace(config.dataset, invalid="skip"))
    strict = _gives(arguments, "--dataset.invalid")
    splits = load_splits(config if strict else lenient)
    hardware = Hardware.of(choose_device(config.device))
    size = config.input.test_short_side if _gives(arguments, "--input.test_short_side") else None
    choices = choose_settings(splits.train, hardware, config.dataset.val in source.splits, size, config.model)
    if _gives_length(arguments):
        choices = [c for c in choices if c.key != "train.iterations"]
    weights = Path(config.model.weights or "")
    inherited = model_settings(weights) if weights.is_file() else {}
    defaults = {c.key: c.value for c in choices} | inherited
    chosen = read_config(config_parser("frcnn train", DESCRIPTION, Config), arguments, Config, defaults)
    if os.environ.get("RANK", "0") == "0":
        _tell(config, source, splits, choices, chosen)
        if inherited:
            print(f"  model settings as in {weights}")
    return chosen, splits


def _tell(config: Config, source: Any, splits: Any, choices: list[Any], chosen: Config) -> None:
    names = splits.train.class_names
    print(f"{config.data}: {source.format} data, splits {', '.join(source.splits)}")
    print(f"classes: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}")
    print("chosen (any of it can be set on the command line):")
    for choice in choices:
        value = chosen
        for part in choice.key.split("."):
            value = getattr(value, part)
        if value == choice.value:
            print(f"  --{choice.key} {str(choice.value).replace(' ', '')}  ({choice.reason})")


def _gives_length(arguments: list[str]) -> bool:
    return _gives(arguments, "--train.iterations") or _gives(arguments, "--train.epochs")


def _gives(arguments: list[str], option: str) -> bool:
    return any(a == option or a.startswith(f"{option}=") for a in arguments)


def _asks_for_text(arguments: list[str]) -> bool:
    return any(a in ("-h", "--help") or a.startswith("--print_config") for a in arguments)
