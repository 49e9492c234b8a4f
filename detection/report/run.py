"""A report on a checkpoint: its data is read, traced, analysed, and the files are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from detection.config.schema import Config
from detection.counted import counted
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.outputs import claim_output, refuse_overwriting
from detection.loading.datasets import load_split
from detection.loading.detectors import load_detector, selection_notes
from detection.predict.prepare import prepare
from detection.report.analysis import Analysis, analyse
from detection.report.files import WRITTEN, numbers, write_report
from detection.report.history import read_history
from detection.report.page import Subject
from detection.report.slices import read_columns
from detection.report.traced import passages_in, traced
from detection.report.wording import terminal
from detection.training.validation import DetectorEvaluation, evaluate_detector

NO_TILES = "this detector looks at tiles (input.tile), and a report follows objects through whole images alone"


@dataclass(frozen=True)
class Choice:
    """Which data; None: as the run that trained the checkpoint had it. size: of the input, pixels;
    slices: a CSV table of the images whose columns group them."""

    data: str | None = None
    split: str | None = None
    format: str | None = None
    images: str | None = None
    invalid: str | None = None
    size: int | None = None
    slices: Path | None = None


@dataclass(frozen=True)
class Report:
    """text: the same in about twenty lines; numbers: those of report.json; notes: on how the data was read; files:
    what was written, and what is in it."""

    analysis: Analysis
    text: str
    numbers: dict[str, Any]
    notes: list[str]
    files: dict[Path, str]


def report_on(
    file: Path, choice: Choice, output: Path, command: str, device: torch.device, workers: int | None = None
) -> Report:
    """file: a checkpoint, whose folder may hold the metrics of its run. Raises `InputError` for what the user can
    fix."""
    detector, config = load_detector(file, device)
    refuse_tiles(config, str(file))
    trained, config = config, _with_data(config, choice)
    split = choice.split or config.dataset.val or "val"
    index, notes = load_split(config, split, detector.class_names)
    if not len(index):
        raise InputError(f"{config.data}: the split {split!r} has no images; name another with --split")
    notes = [*notes, *selection_notes(file, trained, choice.data, split)]
    columns = read_columns(choice.slices, index) if choice.slices else None
    claim_output(output)
    refuse_overwriting((output / name for name in WRITTEN), [file])
    detector = replace(detector, model=prepare(detector.model)).at(choice.size)
    watch = passages_in(index, config.model.rpn.negative_iou)
    evaluation = evaluate_detector(detector, index, config, workers=workers, watch=watch)
    subject = subject_of(file, config, split, index, command, detector.grey_bits)
    return replace(write(evaluation, index, subject, file.parent, output, columns), notes=notes)


def refuse_tiles(config: Config, name: str) -> None:
    """Raise `InputError` for a detector of tiles: each object is followed through one pass over a whole image."""
    if config.input.tile is not None:
        raise InputError(f"{name}: {NO_TILES}")


def subject_of(file: Path, config: Config, split: str, index: AnnotationIndex, command: str, grey_bits: int) -> Subject:
    """What is reported on, for the head of the page."""
    objects = int((~(index.crowd | index.difficult)).sum())
    return Subject(
        f"{file.parent.name or file.name} on {Path(str(config.data)).name}, {split}",
        f"{counted(len(index), 'image')}, {counted(objects, 'object')}, "
        f"{counted(len(index.class_names), 'class')}; {file}",
        command,
        grey_bits,
    )


def write(
    evaluation: DetectorEvaluation,
    index: AnnotationIndex,
    subject: Subject,
    run: Path,
    output: Path,
    columns: dict[str, list[str]] | None = None,
) -> Report:
    """The report of an evaluation that `passages_in` watched, into the folder `output`; run: the folder whose metrics
    tell how the training went, if there are any; columns: see `analyse`."""
    analysis, history = analyse(index, traced(index, evaluation), columns=columns), read_history(run)
    files = write_report(output, analysis, history, subject)
    return Report(analysis, terminal(analysis, history), numbers(analysis, history), [], files)


def _with_data(config: Config, choice: Choice) -> Config:
    other = choice.data is not None
    dataset = replace(
        config.dataset,
        format=choice.format or ("auto" if other else config.dataset.format),  # type: ignore[arg-type]
        images=choice.images or (None if other else config.dataset.images),
        invalid=choice.invalid or config.dataset.invalid,  # type: ignore[arg-type]
    )
    return replace(config, data=choice.data or config.data, dataset=dataset)
