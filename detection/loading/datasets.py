"""From what a config says of the data to checked annotation indices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detection.config.resuming import stored_setting
from detection.config.schema import Config, DatasetConfig
from detection.counted import counted
from detection.data.check import check_index
from detection.data.classes import ClassChoice, tell_alike
from detection.data.hold_out import hold_out
from detection.data.index import AnnotationIndex
from detection.data.locate import LocatedDataset, locate
from detection.data.remote import is_remote, local_copy
from detection.data.shapes import default_cache, write_shapes
from detection.errors import InputError

SHAPES_TRAIN, SHAPES_VAL, SHAPES_SIZE = 800, 100, 224
"""Images of the embedded dataset, and their side in pixels."""


@dataclass(frozen=True)
class Splits:
    """Checked indices; val is None where the config wants none. notes: one line for each thing a user should know.
    salt: by which validation images were held out, None where they are a split of their own."""

    train: AnnotationIndex
    val: AnnotationIndex | None
    notes: list[str]
    salt: int | None = None


def find_data(config: Config) -> LocatedDataset:
    """The data source that `config.data` names; `shapes` is drawn into the cache on first use."""
    if config.data is None:
        raise InputError("data: give --data PATH (COCO JSON, PASCAL VOC or YOLO), or --data shapes to try it out")
    if config.data == "shapes":
        return locate(write_shapes(default_cache() / "shapes", SHAPES_TRAIN, SHAPES_VAL, SHAPES_SIZE))
    images = None if config.dataset.images is None else _here(config.dataset.images)
    return locate(_here(config.data), config.dataset.format, images)


def _here(place: str) -> Path:
    """A path, or the copy in the cache of what an address leads to."""
    return local_copy(place, default_cache()) if is_remote(place) else Path(place)


def load_splits(config: Config) -> Splits:
    """Both splits of a training run. Without a validation split, part of the training split is held out."""
    source, dataset = find_data(config), config.dataset
    train, notes = read_checked(source, dataset.train, config)
    if dataset.val is None:
        return Splits(train, None, notes)
    if dataset.val in source.splits:
        val, more = read_checked(source, dataset.val, config, train.class_names, needs_objects=False)
        if dataset.val_fraction != DatasetConfig().val_fraction:
            more.append(f"warning: dataset.val_fraction {dataset.val_fraction} has no effect: there is {dataset.val!r}")
        return Splits(train, val.scored(), [*notes, *(line for line in more if line not in notes)])
    salt = dataset.val_salt
    if salt is None and config.resume:
        salt = stored_setting(Path(config.output), "dataset.val_salt")
    train, val, salt = hold_out(train, dataset.val_fraction, salt)
    held = (
        f"no split {dataset.val!r}: held out {len(val)} of {counted(len(train) + len(val), 'image')}, by their content"
    )
    return Splits(train, val.scored(), [*notes, held], salt)


def load_split(config: Config, split: str, classes: tuple[str, ...]) -> tuple[AnnotationIndex, list[str]]:
    """One split to evaluate on, with the classes of the model; a held-out part is the one held out in training."""
    source = find_data(config)
    if split in source.splits:
        index, notes = read_checked(source, split, config, classes, needs_objects=False)
        return index.scored(), notes
    if split == config.dataset.val:
        splits = load_splits(config)
        assert splits.val is not None
        return splits.val, splits.notes
    raise InputError(f"{config.data}: has no split {split!r}; there is {', '.join(source.splits)}")


def read_checked(
    source: LocatedDataset,
    split: str,
    config: Config,
    classes: tuple[str, ...] | None = None,
    needs_objects: bool = True,
) -> tuple[AnnotationIndex, list[str]]:
    """A split, read and checked by the policy `dataset.invalid`, and a line for each thing that a user should know:
    how its files were read, and what was left out."""
    flawed: list[str] = []
    choice = choice_of(config.dataset)
    index = source.read(split, None if choice else classes, flawed.append if config.dataset.invalid == "skip" else None)
    notes = [line if line == source.found else f"{split}: {line}" for line in index.notes]
    if choice:
        index, changed = choice.of(index, strict=classes is None)
        notes += [f"{split}: {line}" for line in changed]
        index = index if classes is None else index.in_classes(classes)
    elif classes is None:
        notes += tell_alike(index.class_names)
    if flawed:
        notes.append(f"{split}: {len(flawed)} items cannot be read, left out; the first: {flawed[0]}")
    index, report = checked(index, config, needs_objects)
    return index, [*notes, *report]


def choice_of(dataset: DatasetConfig) -> ClassChoice:
    """What a config says of the classes."""
    names = None if dataset.classes is None else tuple(dataset.classes)
    pairs = (pair.rpartition("=") for pair in dataset.merge)
    merged = {name.strip(): other.strip() for name, _, other in pairs}
    unlabelled = None if dataset.unlabelled is None else Path(dataset.unlabelled)
    return ClassChoice(names, merged, dataset.single_class, unlabelled)


def checked(index: AnnotationIndex, config: Config, needs_objects: bool = True) -> tuple[AnnotationIndex, list[str]]:
    """The index by the policy `dataset.invalid`. Skipping decodes every image once, so that none fails in training."""
    policy = config.dataset.invalid
    return check_index(index, policy, decode=policy == "skip", needs_objects=needs_objects)
