"""`frcnn pretrain`: train a classifier, whose weights a detector can begin from."""

from __future__ import annotations

from detection.cli.follow import follow
from detection.config.pretrain import PretrainConfig
from detection.config.read import config_parser, read_config

DESCRIPTION = """Train a classifier on images of classes: a folder or tar with train/CLASS/*.jpg and val/CLASS/*.jpg, or
CIFAR-10's folder. Settings come from --config FILE and from options, which win. best.pt is a detector's
--model.weights."""


def main(arguments: list[str]) -> int:
    config = read_config(config_parser("frcnn pretrain", DESCRIPTION, PretrainConfig), arguments, PretrainConfig)

    from detection.engine.classifier import pretrain
    from detection.launch import launch
    from detection.parallel import launched

    if config.processes > 1 and not launched():
        return launch("pretrain", arguments, config.processes, config.device)
    return follow(lambda: pretrain(config))
