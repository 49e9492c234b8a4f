"""What identity shortcuts promise of maps and gradients, of nets from random weights and of trained ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from backbones.analysis.identity import StageIdentity, identities
from backbones.nets import Net
from detection.classify.images import ImageSet
from detection.classify.views import View, single, view_batches
from detection.errors import InputError
from detection.experiments.figures import blank_figure, colours_for, dress
from detection.experiments.report import Report
from detection.markdown import markdown_table

PAPER = """`sum` is how far a stage's last map is from an earlier one plus the blocks' outputs, `gradient` how far the
gradient is from the direct term plus the one through the blocks (equations 4 and 5 of He et al. 2016), as shares of the
left side: rounding where every shortcut is the identity and nothing follows the addition, much where a ReLU does or
there is no shortcut. `direct` is the part of the gradient before the stage's second block that came past all others."""


def identity(nets: Mapping[str, Net], images: ImageSet, view: View, command: list[str]) -> Report:
    """A row for each stage of each net, on all images at once, in the first of the view's crops. Raises `InputError`
    for a net that has no stage of two blocks."""
    pixels, labels = next(view_batches(images, single(view), len(images))), torch.as_tensor(images.labels)
    found: dict[str, list[StageIdentity]] = {}
    for name, net in nets.items():
        try:
            found[name] = identities(net, pixels, labels)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from error
    numbers = {name: [dataclasses.asdict(stage) for stage in stages] for name, stages in found.items()}
    return Report(
        "identity",
        "Identity shortcuts: the sum of maps and the direct gradient",
        command,
        {"images": len(labels), "stages": numbers},
        f"{_table(found)}\n{PAPER}",
        {"identity": identity_figure(found)},
    )


def _table(found: Mapping[str, Sequence[StageIdentity]]) -> str:
    rows: list[list[object]] = []
    for name, stages in found.items():
        for stage in stages:
            growth = stage.gradients[0] / stage.gradients[-1]
            apart = [f"{share:.1g}" for share in (stage.forward, stage.backward)]
            rows.append([name, stage.stage, stage.blocks, *apart, f"{stage.direct:.2f}", f"{growth:.3g}"])
    header = ["net", "stage", "blocks", "sum", "gradient", "direct", "gradient norm, first / last"]
    return markdown_table(header, rows, "llrrrrr")


def identity_figure(found: Mapping[str, Sequence[StageIdentity]]) -> Figure:
    """Norms of dE/dx along the blocks, each stage behind its first block a line of its own, over that at its end."""
    figure = blank_figure(2, 1, "Gradient on its way back through a stage")
    panel = figure.subplots()
    for colour, (name, stages) in zip(colours_for(len(found)), found.items()):
        start = 0
        for k, stage in enumerate(stages):
            places = range(start, start + stage.blocks + 1)
            norms = [norm / stage.gradients[-1] for norm in stage.gradients]
            panel.plot(places, norms, ".-", color=colour, linewidth=1.2, label=name if k == 0 else None)
            start += stage.blocks + 1
    panel.set_yscale("log")
    dress(panel, "", "block, stage after stage", "gradient norm / at the stage's end")
    panel.legend(fontsize=8, frameon=False)
    return figure
