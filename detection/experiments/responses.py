"""How strongly the layers of trained nets respond (He et al. 2015, figure 7)."""

from __future__ import annotations

import dataclasses

import numpy as np

from backbones.analysis.responses import Response, layer_responses
from detection.classify.images import ImageSet
from detection.classify.views import View, view_batches
from detection.errors import InputError
from detection.experiments.figures import response_figure
from detection.experiments.report import Report
from detection.loading.classifiers import Classifier
from detection.markdown import markdown_table

PAPER = """The paper gives no numbers but two findings: residual nets respond more weakly than their plain counterparts,
and of residual nets the deeper ones more weakly, each layer changing the signal less."""


def responses(
    classifiers: dict[str, Classifier],
    images: ImageSet,
    view: View,
    batch: int,
    workers: int,
    command: list[str],
) -> Report:
    """Standard deviations of every 3x3 layer's output after batch norm, over `images`."""
    found = {}
    for name, classifier in classifiers.items():
        try:
            found[name] = layer_responses(classifier.net, view_batches(images, view, batch, workers))
        except ValueError as error:
            raise InputError(f"{name}: {error}") from error
    rows = [_row(name, layers) for name, layers in found.items()]
    header = ["net", "3x3 layers", "mean std", "median std", "largest std", "smallest std"]
    numbers = {name: [dataclasses.asdict(layer) for layer in layers] for name, layers in found.items()}
    return Report(
        "responses",
        "Layer responses: standard deviation after batch norm",
        command,
        {"images": len(images), "responses": numbers},
        f"{markdown_table(header, rows)}\n{PAPER}",
        {"responses": response_figure(found)},
    )


def _row(name: str, layers: list[Response]) -> list[object]:
    stds = np.array([layer.std for layer in layers])
    return [name, len(layers), *(round(float(f(stds)), 4) for f in (np.mean, np.median, np.max, np.min))]
