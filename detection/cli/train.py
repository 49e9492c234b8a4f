"""`frcnn train`: from a config, or from nothing but the data."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from detection.config.read import config_parser, read_config
from detection.config.schema import Config

DESCRIPTION = """Train a Faster R-CNN. Settings come from --config FILE and from options, which win. With --data and no
--config, format, classes, splits, model, input size and schedule are chosen by looking at the data. Under torchrun
every process takes its share of each batch."""


def main(arguments: list[str]) -> int:
    parser = config_parser("frcnn train", DESCRIPTION)
    if _asks_for_text(arguments):
        parser.parse_args(arguments)  # prints and exits
    automatic = not any(a == "--config" or a.startswith("--config=") for a in arguments)
    # Without a config the length of the run is not known before the data is; 1 stands in for it.
    draft = {"train.iterations": 1} if automatic and not _gives_length(arguments) else {}
    config = read_config(parser, arguments, draft)
    splits = None
    if automatic:
        config, splits = _choose(config, arguments)

    from detection.engine.loop import Interrupted
    from detection.engine.run import train

    try:
        finished = train(config, splits)
    except Interrupted as stop:
        print(f"{stop}: the run is saved; go on with --resume true")
        return 128 + stop.signal
    if finished is None:
        return 0
    if finished.result is not None:
        from detection.evaluate.report import per_class_table, summary_table

        print(f"\n{summary_table(finished.result)}\n\n{per_class_table(finished.result)}")
    print()
    width = max(len(str(path)) for path in finished.files)
    for path, meaning in finished.files.items():
        print(f"{path!s:{width}}  {meaning}")
    return 0


def _choose(config: Config, arguments: list[str]) -> tuple[Config, Any]:
    """Fill what the command line leaves open with what fits the data, and say so."""
    from detection.engine.choose import choose_settings
    from detection.engine.datasets import find_data, load_splits
    from detection.parallel import choose_device

    source = find_data(config)
    lenient = replace(config, dataset=replace(config.dataset, invalid="skip"))
    strict = any(a.startswith("--dataset.invalid") for a in arguments)
    splits = load_splits(config if strict else lenient)
    device = choose_device(config.device).type
    choices = choose_settings(splits.train, device, has_val=config.dataset.val in source.splits)
    if _gives_length(arguments):
        choices = [c for c in choices if c.key != "train.iterations"]
    defaults = {c.key: c.value for c in choices}
    chosen = read_config(config_parser("frcnn train", DESCRIPTION), arguments, defaults)
    if os.environ.get("RANK", "0") == "0":
        _tell(config, source, splits, choices, chosen)
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
    return any(a.startswith(("--train.iterations", "--train.epochs")) for a in arguments)


def _asks_for_text(arguments: list[str]) -> bool:
    return any(a in ("-h", "--help") or a.startswith("--print_config") for a in arguments)
