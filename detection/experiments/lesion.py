"""Test error without single blocks of trained nets (Veit et al. 2016, section 4.1)."""

from __future__ import annotations

from backbones.analysis.lesion import removable, without
from detection.classify.images import ImageSet
from detection.classify.views import View, errors_of
from detection.experiments.figures import Lesions, lesion_figure
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
) -> Report:
    """Top-1 error of every net intact and without each block that can be removed."""
    found = {name: _lesions(classifier, images, view, batch, workers) for name, classifier in classifiers.items()}
    header = ["net", "blocks", "intact %", "median without one %", "worst without one %", "worst block"]
    rows = []
    for name, net in found.items():
        ranked = sorted(net.errors.values())
        worst = max(net.errors, key=lambda block: net.errors[block])
        shown = [f"{value:.2f}" for value in (net.intact, ranked[len(ranked) // 2], ranked[-1])]
        rows.append([name, len(ranked), *shown, worst])
    numbers = {name: {"intact": net.intact, "without": dict(net.errors)} for name, net in found.items()}
    return Report(
        "lesion",
        "Lesions: test error without single blocks",
        command,
        {"images": len(images), "error_percent": numbers},
        f"{markdown_table(header, rows, 'lrrrrl')}\n{PAPER}",
        {"lesion": lesion_figure(found)},
    )


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
