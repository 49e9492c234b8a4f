"""Trained classifiers on images: which images, looked at how, and what error."""

from __future__ import annotations

import torch
from torch import Tensor

from backbones.nets import for_small_images
from detection.classify.images import ImageSet
from detection.classify.views import View, probabilities
from detection.config.pretrain import CropConfig, ViewConfig
from detection.counted import counted
from detection.errors import InputError
from detection.loading.class_images import open_data, view_of
from detection.loading.classifiers import Classifier


def images_for(
    classifiers: list[Classifier], data: str | None, split: str | None, count: int | None = None
) -> ImageSet:
    """The split to test on, by default `test` where there is one, else `val`, of the first classifier's data; with
    `count`, that many images spread over it.

    Raises `InputError` where the classifiers do not have the classes of the data.
    """
    config = classifiers[0].config if classifiers else None
    source = open_data(data or (config.data if config else None))
    split = split or next((name for name in ("test", "val") if name in source.splits), source.splits[0])
    names = next((c.classes for c in classifiers if c.classes is not None), None)
    images = source.read(split, names)
    for classifier in classifiers:
        check_classes(classifier, images)
    if count is None or count >= len(images):
        return images
    return images.subset([i * len(images) // count for i in range(count)])


def check_classes(classifier: Classifier, images: ImageSet) -> None:
    """Raise `InputError` where the classifier has another number of classes than the images."""
    with torch.inference_mode():
        outputs = classifier.net(torch.zeros(1, 3, 64, 64, device=_device(classifier))).shape[1]
    if outputs != len(images.class_names):
        raise InputError(
            f"{classifier.name}: has {counted(outputs, 'class')}, but the images have {len(images.class_names)}"
        )


def view_for(
    classifier: Classifier,
    name: str | None = None,
    short_side: int | None = None,
    crop: int | None = None,
    scales: list[int] | None = None,
) -> View:
    """The view of the classifier's validation, with what is given in place of its own."""
    evaluate, crops = ViewConfig(), CropConfig()
    if classifier.config is not None:
        evaluate, crops = classifier.config.evaluate, classifier.config.input
    elif for_small_images(classifier.net):
        evaluate = ViewConfig(view="whole")
    view = view_of(evaluate, crops)
    try:
        return View(name or view.name, crop or view.crop, short_side or view.short_side, tuple(scales or view.scales))
    except ValueError as error:
        raise InputError(f"--view {name or view.name}: {error}") from error


def scores_of(classifier: Classifier, images: ImageSet, view: View, batch: int, workers: int) -> Tensor:
    """(N, K) probabilities, on the CPU; `workers` processes decode."""
    return probabilities(classifier.net, images, view, _device(classifier), batch, workers)


def _device(classifier: Classifier) -> torch.device:
    return next(classifier.net.parameters()).device
