"""`frcnn train`: from a config, or from nothing but the data."""

from __future__ import annotations

import os
from pathlib import Path

from detection.cli.answer import Answer, answering
from detection.cli.results import print_folds, print_result, result_for_programs
from detection.cli.settings import answered
from detection.config.command_line import CommandLine
from detection.config.read import draft_config, resumed
from detection.config.schema import Config

DESCRIPTION = """Train a Faster R-CNN. Settings come from --config FILE and from options, which win. With --data and no
--config, format, classes, splits, model, input size and schedule are chosen by looking at the data. With --resume and
no --config, the settings are those of the run in --output, but for what is given besides. Under torchrun every process
takes its share of each batch. With --folds K, K detectors are trained and each is tested on the images that it has not
seen."""


def main(arguments: list[str]) -> int:
    line = CommandLine.read(arguments, Config)
    if answered(line, "frcnn train", DESCRIPTION, Config):
        return 0
    line = resumed(line, draft_config(line, Config))
    draft = draft_config(line, Config)

    from detection.launch import launch
    from detection.parallel import launched

    if draft.processes > 1 and not launched():
        return launch("train", line.all_words, draft.processes, draft.device)
    with answering(line.json) as answer:
        _train(line, answer)
    return 0


def _train(line: CommandLine, answer: Answer) -> None:
    from detection import parallel
    from detection.automatic.configure import configure
    from detection.folds.run import cross_validate, planned_folds
    from detection.training.train import train

    made = configure(line)
    if made.lines and os.environ.get("RANK", "0") == "0":
        print("\n".join(made.lines))
    folds = line.folds or (planned_folds(Path(made.config.output)) if made.config.resume else 0)
    if folds:
        folded = cross_validate(made.config, folds, made.splits, made.origins, line.dry)
        print_folds(folded)
        answer(result_for_programs(folded))
        return
    found = train(made.config, made.splits, made.origins, dry=line.dry)
    print_result(found)
    if parallel.rank() == 0:
        answer(result_for_programs(found))
    if found is not None and made.config.evaluate.report:
        _report(made.config)


def _report(config: Config) -> None:
    """What the best weights get wrong, where there is a validation split."""
    from detection.parallel import choose_device
    from detection.report.run import NO_TILES, Choice, report_on

    if config.dataset.val is None:
        return
    if config.input.tile is not None:
        print(f"no report: {NO_TILES}")
        return
    file, device = Path(config.output) / "best.pt", choose_device(config.device)
    folder, words = file.parent / "report", f"frcnn report {config.output}"
    found = report_on(file, Choice(), folder, words, device, config.input.workers)
    print(f"\n{found.text}\n\n{folder / 'report.html'}: the report, with pictures")
