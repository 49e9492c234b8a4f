"""Path lengths of trained nets with their share of the gradient (Veit et al. 2016, figure 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import islice

import torch
from matplotlib.figure import Figure

from backbones.analysis.paths import PathLengths, path_lengths
from detection.classify.images import ImageSet
from detection.classify.views import View, single, view_batches
from detection.errors import InputError
from detection.experiments.figures import blank_figure, colours_for, dress
from detection.experiments.report import Report
from detection.loading.classifiers import Classifier
from detection.markdown import markdown_table

PAPER = """Veit et al. 2016: of a ResNet-110 on CIFAR-10, whose 54 blocks make 2^54 paths with 27 blocks in the mean,
nearly all of the gradient comes through the paths of 5 to 17 blocks, .45 % of all."""
SHARE = 0.9


def paths(
    classifiers: Mapping[str, Classifier],
    images: ImageSet,
    view: View,
    batch: int,
    workers: int,
    command: list[str],
    draws: int,
    seed: int,
) -> Report:
    """Measured on `draws` paths of each length, over as many batches at most. Raises `InputError` for a net without
    residual blocks."""
    pixels = list(islice(view_batches(images, single(view), batch, workers), draws))
    batches = list(zip(pixels, torch.as_tensor(images.labels).split(batch)))
    found = {}
    for name, classifier in classifiers.items():
        try:
            found[name] = path_lengths(classifier.net, batches, draws, seed)
        except ValueError as error:
            raise InputError(f"{name}: {error}; give a trained resnet") from error
    numbers = {name: dataclasses.asdict(lengths) for name, lengths in found.items()}
    return Report(
        "paths",
        "Lengths of paths and their share of the gradient",
        command,
        {"images": len(images), "draws": draws, "lengths": numbers},
        f"{_table(found)}\n{PAPER}",
        {"paths": paths_figure(found)},
    )


def _table(found: Mapping[str, PathLengths]) -> str:
    rows: list[list[object]] = []
    for name, lengths in found.items():
        blocks = len(lengths.paths) - 1
        first, last = lengths.central(SHARE)
        mean = sum(length * share for length, share in enumerate(lengths.gradient))
        of_all = 100 * sum(lengths.paths[first : last + 1])
        rows.append([name, blocks, f"{blocks / 2:g}", f"{mean:.1f}", f"{first} to {last}", f"{of_all:.3g}"])
    header = ["net", "blocks", "mean length", "by gradient", f"{SHARE:.0%} of it", "which are % of all paths"]
    return markdown_table(header, rows, "lrrrrr")


def paths_figure(found: Mapping[str, PathLengths]) -> Figure:
    """How many paths there are of each length, what one carries, and what all of the length carry."""
    figure = blank_figure(3, 1, "Paths through a residual net, by length")
    panels = figure.subplots(1, 3)
    titles = ("share of the paths", "gradient through one path", "share of the gradient")
    for colour, (name, lengths) in zip(colours_for(len(found)), found.items()):
        for panel, values in zip(panels, (lengths.paths, lengths.norms, lengths.gradient)):
            panel.plot(range(len(values)), values, color=colour, linewidth=1.2, label=name)
    panels[1].set_yscale("log")
    for panel, title in zip(panels, titles):
        dress(panel, title, "blocks that a path goes through", "")
    panels[0].legend(fontsize=8, frameon=False)
    return figure
