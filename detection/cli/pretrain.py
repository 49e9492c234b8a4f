"""`frcnn pretrain`: train a classifier, whose weights a detector can begin from."""

from __future__ import annotations

from detection.cli.answer import answering
from detection.cli.results import print_result, result_for_programs
from detection.cli.settings import answered
from detection.config.command_line import CommandLine
from detection.config.pretrain import PretrainConfig
from detection.config.read import draft_config, origins, read_config, resumed

DESCRIPTION = """Train a classifier on images of classes: a folder or tar with train/CLASS/*.jpg and val/CLASS/*.jpg, or
CIFAR-10's folder. Settings come from --config FILE and from options, which win. best.pt is a detector's --weights. With
--resume and no --config, the settings are those of the run in --output, but for what is given besides."""


def main(arguments: list[str]) -> int:
    line = CommandLine.read(arguments, PretrainConfig)
    if answered(line, "frcnn pretrain", DESCRIPTION, PretrainConfig):
        return 0
    line = resumed(line, draft_config(line, PretrainConfig))
    config = read_config(line, PretrainConfig)

    from detection.launch import launch
    from detection.parallel import launched, rank
    from detection.training.classifier import pretrain

    if config.processes > 1 and not launched():
        return launch("pretrain", line.all_words, config.processes, config.device)
    with answering(line.json) as answer:
        found = pretrain(config, origins=origins(line, config), dry=line.dry)
        print_result(found)
        if rank() == 0:
            answer(result_for_programs(found))
    return 0
