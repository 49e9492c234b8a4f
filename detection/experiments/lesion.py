"""Test error without blocks of trained nets, one or several, and with blocks swapped (Veit et al. 2016, section 4)."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from backbones.analysis.lesion import removable, without
from detection.classify.images import ImageSet
from detection.classify.views import View, errors_of
from detection.experiments.figures import Lesions, lesion_figure
from detection.experiments.random_lesion_figure import disturbance_figure
from detection.experiments.random_lesions import Draws, disturb, table
from detection.experiments.report import Report
from detection.loading.class_testing import scores_of
from detection.loading.classifiers import Classifier
from detection.markdown import markdown_table

PAPER = """Veit et al. 2016 delete blocks of a ResNet-110 and layers of a VGG net trained on CIFAR-10: without one of
its layers the VGG net falls to about 90 % error, while the ResNet hardly changes, save where the map is halved."""


def lesion(
    classifiers: dict[str, Classifier],
    images: ImageSet,
    view: View,
    batch: int,
    workers: int,
    command: list[str],
    draws: Draws | None = None,
) -> Report:
    """Top-1 error of every net intact, without each block that can be removed, and under what is drawn at random."""
    found = {name: _lesions(classifier, images, view, batch, workers) for name, classifier in classifiers.items()}
    header = ["net", "blocks", "intact %", "median without one %", "worst without one %", "worst block"]
    rows = []
    for name, net in found.items():
        ranked = sorted(net.errors.values())
        worst = max(net.errors, key=lambda block: net.errors[block])
        shown = [f"{value:.2f}" for value in (net.intact, ranked[len(ranked) // 2], ranked[-1])]
        rows.append([name, len(ranked), *shown, worst])
    numbers: dict[str, Any] = {name: {"intact": net.intact, "without": dict(net.errors)} for name, net in found.items()}
    text, figures = f"{markdown_table(header, rows, 'lrrrrl')}\n{PAPER}", {"lesion": lesion_figure(found)}
    if draws is not None and (draws.removed or draws.swapped):
        disturbed = {
            name: disturb(c.net, name, draws, partial(_error, c, images, view, batch, workers))
            for name, c in classifiers.items()
        }
        for name, several in disturbed.items():
            numbers[name] |= dataclasses.asdict(several)
        text = f"{text}\n\n{table(disturbed)}"
        intact = {name: net.intact for name, net in found.items()}
        figures["lesion_several"] = disturbance_figure(disturbed, intact)
    content = {"images": len(images), "error_percent": numbers}
    return Report("lesion", "Lesions: test error without blocks", command, content, text, figures)


def _lesions(classifier: Classifier, images: ImageSet, view: View, batch: int, workers: int) -> Lesions:
    intact = _error(classifier, images, view, batch, workers)
    errors = {}
    for block in removable(classifier.net):
        with without(classifier.net, block):
            errors[block] = _error(classifier, images, view, batch, workers)
    return Lesions(intact, errors)


def _error(classifier: Classifier, images: ImageSet, view: View, batch: int, workers: int) -> float:
    """Percent."""
    return 100 * errors_of(scores_of(classifier, images, view, batch, workers), images.labels)["top1_error"]
