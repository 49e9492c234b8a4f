"""`frcnn check-data --model`: the labels of a dataset that a trained detector contradicts, among the other findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from detection.errors import InputError

if TYPE_CHECKING:
    from detection.config.schema import Config
    from detection.data.index import AnnotationIndex
    from detection.doctor.examine import Examination
    from detection.doctor.findings import Item
    from detection.report.suspects import Suspect

RULE = "doubted label"


def with_doubted_labels(examination: Examination, data: Config, checkpoint: Path, device: str) -> Examination:
    """The examination with the doubted labels of every split, the surest first. Raises `InputError` where the detector
    knows other classes than the dataset has."""
    from detection import parallel
    from detection.cli.testing import tell_of_trained_images
    from detection.doctor.findings import Finding
    from detection.loading.datasets import load_split
    from detection.loading.detectors import load_detector
    from detection.predict.prepare import prepare
    from detection.report.run import refuse_tiles
    from detection.report.suspects import suspects
    from detection.report.traced import passages_in, traced
    from detection.training.validation import evaluate_detector

    file = checkpoint / "best.pt" if checkpoint.is_dir() else checkpoint
    detector, config = load_detector(file, parallel.choose_device(device))
    refuse_tiles(config, f"--model {checkpoint}")
    detector = replace(detector, model=prepare(detector.model))
    dataset = replace(data.dataset, invalid="skip")
    found: list[tuple[Suspect, Item]] = []
    for split, part in examination.parts.items():
        try:
            index, _ = load_split(replace(config, data=data.data, dataset=dataset), split, detector.class_names)
        except InputError as error:
            raise InputError(f"--model {checkpoint}: {error}") from error
        if not len(index):
            continue
        tell_of_trained_images([file], index)
        watch = passages_in(index, config.model.rpn.negative_iou)
        seen = traced(index, evaluate_detector(detector, index, config, watch=watch))
        doubted = suspects(index, seen.results, seen.passages)
        found += zip(doubted, _items(split, index, doubted, part.class_names))
    if not found:
        return examination
    items = [item for _, item in sorted(found, key=lambda pair: -pair[0].confidence)]
    return replace(examination, findings=[*examination.findings, Finding(RULE, items)])


def _items(
    split: str, index: AnnotationIndex, doubted: Iterable[Suspect], class_names: tuple[str, ...]
) -> Iterable[Item]:
    """class_names: of the examination, in whose order its pictures know classes."""
    from detection.data.check import name_item
    from detection.doctor.findings import Item
    from detection.report.suspects import TEXTS

    for suspect in doubted:
        x1, y1, x2, y2 = suspect.box
        known = [index.class_names[label] for label in (suspect.label, suspect.seen_as) if label is not None]
        words = f"{TEXTS[suspect.kind]} ({', '.join(dict.fromkeys(known))}), {suspect.confidence:.2f}"
        of = suspect.annotation
        item = name_item(index, "image", suspect.row) if of is None else name_item(index, "box", of)
        yield Item(
            split,
            f"{item}: {words} [x {x1:g}, y {y1:g}, {x2 - x1:g} by {y2 - y1:g}]",
            index.file_names[suspect.row].decode(errors="replace"),
            None if of is None else int(index.annotation_ids[of]),
            boxes=((x1, y1, x2 - x1, y2 - y1),),
            labels=(class_names.index(known[0]),),
        )
