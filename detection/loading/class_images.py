"""From what a pretraining config says of the data to images of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detection.classify.augment import MEAN_COLOUR, CropAugmentation
from detection.classify.images import ImageSet
from detection.classify.sources import ClassDataset, open_dataset
from detection.classify.views import View
from detection.config.pretrain import ClassDatasetConfig, CropConfig, PretrainConfig, ViewConfig
from detection.config.resuming import stored_setting
from detection.counted import counted
from detection.errors import InputError


@dataclass(frozen=True)
class ClassSplits:
    """val is None where the config wants none; test is None where the data has none or validation uses it. lines: what
    a user should know. held: how many images were held out for validation, and by which salt; None where it has a split
    of its own."""

    train: ImageSet
    val: ImageSet | None
    test: ImageSet | None
    lines: list[str]
    held: tuple[int, int] | None = None


def open_data(data: str | None) -> ClassDataset:
    """The images of classes that `data` names."""
    if data is None:
        raise InputError(
            "data: give --data PATH: a folder or tar with train/CLASS/*.jpg and val/CLASS/*.jpg, or CIFAR-10's folder"
        )
    return open_dataset(Path(data))


def load_class_splits(config: PretrainConfig) -> ClassSplits:
    """All splits of a run. Without a validation split, part of the training split is held out."""
    source, dataset = open_data(config.data), config.dataset
    train, val, test = source.read(dataset.train), None, None
    names, lines, held = train.class_names, [], None
    if dataset.val in source.splits:
        assert dataset.val is not None
        val = source.read(dataset.val, names)
        if dataset.hold_out is not None:
            lines.append(f"warning: dataset.hold_out {dataset.hold_out} has no effect: there is {dataset.val!r}")
    elif dataset.val is not None:
        whole, held = len(train), _held_out(config, len(train))
        train, val = train.hold_out(*held)
        lines.append(f"no split {dataset.val!r}: held out {len(val)} of {counted(whole, 'image')}, by their content")
    if dataset.test in source.splits and dataset.test not in (None, dataset.val):
        assert dataset.test is not None
        test = source.read(dataset.test, names)
    elif dataset.test not in (None, dataset.val, ClassDatasetConfig().test):  # the default is there or is not
        there = ", ".join(source.splits)
        raise InputError(f"dataset.test: {config.data} has no split {dataset.test!r}; there is {there}")
    counts = {"training": train, "validation": val, "test": test}
    images = ", ".join(f"{len(images)} {name}" for name, images in counts.items() if images is not None)
    return ClassSplits(train, val, test, [*lines, f"{images} images, {counted(len(names), 'class')}"], held)


def _held_out(config: PretrainConfig, images: int) -> tuple[int, int]:
    """How many are held out, and by which salt: as the resumed run began."""
    given = {"hold_out": config.dataset.hold_out, "hold_out_salt": config.dataset.hold_out_salt}
    for key, value in given.items():
        if value is None and config.resume:
            given[key] = stored_setting(Path(config.output), f"dataset.{key}")
    count, salt = given["hold_out"], given["hold_out_salt"]
    return max(images // 10, 1) if count is None else count, config.seed if salt is None else salt


def augmentation(crop: CropConfig, images: ImageSet) -> CropAugmentation:
    """The training augmentation; what is padded has the mean colour, which is about zero once normalised."""
    # Nothing else is padded, and the mean of files costs the decoding of a sample of them.
    fill = images.mean_colour() if crop.augment == "pad" else MEAN_COLOUR
    return CropAugmentation(
        crop.augment,
        crop.crop,
        (crop.short_sides[0], crop.short_sides[-1]),
        crop.pad,
        crop.flip,
        crop.pca,
        fill,
    )


def view_of(evaluate: ViewConfig, crop: CropConfig) -> View:
    """How images are looked at in validation."""
    return View(evaluate.view, crop.crop, evaluate.short_side, tuple(evaluate.scales))
