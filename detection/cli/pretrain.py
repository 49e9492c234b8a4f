"""`frcnn pretrain`: train a classifier, whose weights a detector can begin from."""

from __future__ import annotations

from detection.cli.follow import follow
from detection.config.pretrain import PretrainConfig
from detection.config.read import config_parser, own_config, read_config

DESCRIPTION = """Train a classifier on images of classes: a folder or tar with train/CLASS/*.jpg and val/CLASS/*.jpg, or
CIFAR-10's folder. Settings come from --config FILE and from options, which win. best.pt is a detector's
--model.weights. With --resume true and no --config, the settings are those of the run in --output, but for what is
given besides."""


def main(arguments: list[str]) -> int:
    config = _read(arguments)
    own = own_config(config, arguments)
    if own:
        arguments, config = own, _read(own)

    from detection.engine.classifier import pretrain
    from detection.launch import launch
    from detection.parallel import launched

    if config.processes > 1 and not launched():
        return launch("pretrain", arguments, config.processes, config.device)
    return follow(lambda: pretrain(config))


def _read(arguments: list[str]) -> PretrainConfig:
    return read_config(config_parser("frcnn pretrain", DESCRIPTION, PretrainConfig), arguments, PretrainConfig)
