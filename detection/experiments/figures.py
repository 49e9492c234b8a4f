"""Figures of the analyses, as matplotlib objects for print: no window, no global state, colours that the colour-blind
tell apart (Okabe & Ito 2008). Writing them to files is the caller's: `figure.savefig(path)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from backbones.analysis.responses import Response

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DPI = 160
PANEL = (4.2, 3.2)
"""Inches (width, height): two panels side by side fill the text of an A4 page."""
TICKS = 30
"""Block numbers that fit below a panel."""


@dataclass(frozen=True)
class Curve:
    """Errors of a net while it learns, in percent, at the iterations where each was measured.

    window: how many neighbouring training errors the drawn line averages; 1 draws them as they are.
    Raises `ValueError` where iterations and errors differ in number, or the window is below 1.
    """

    iterations: Sequence[int]
    training_error: Sequence[float]
    test_iterations: Sequence[int]
    test_error: Sequence[float]
    window: int = 1

    def __post_init__(self) -> None:
        _check_lengths("training", self.iterations, self.training_error)
        _check_lengths("test", self.test_iterations, self.test_error)
        if self.window < 1:
            raise ValueError(f"window {self.window} must be 1 or more")


@dataclass(frozen=True)
class GradientHistory:
    """Gradient norms by stage while a net learns: `norms` has for each stage as many values as `iterations`."""

    iterations: Sequence[int]
    norms: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        for stage, values in self.norms.items():
            _check_lengths(stage, self.iterations, values)


@dataclass(frozen=True)
class Lesions:
    """Test errors in percent: of the intact net, and by the path of the one block removed, in the net's order."""

    intact: float
    errors: Mapping[str, float]


def _check_lengths(what: str, iterations: Sequence[int], values: Sequence[float]) -> None:
    if len(iterations) != len(values):
        raise ValueError(f"{what}: {len(values)} values at {len(iterations)} iterations")


def error_curves(
    runs: Mapping[str, Curve], title: str, limits: tuple[float, float] | None = None, held_out: str = "test"
) -> Figure:
    """Training (thin, dashed) and test errors (bold) over iterations, as in figures 1, 4 and 6 of He et al. 2015.

    Plain nets and VGG, by their names, are on the left and the others on the right of one y axis; a family alone has
    one panel. Nets that differ in nothing else share a colour. limits: of the y axis, in percent.
    held_out: what the legend calls the images that were not trained on.
    Raises `ValueError` for no runs.
    """
    _check_any(runs)
    families = {
        "plain nets": {name: run for name, run in runs.items() if _without_shortcuts(name)},
        "residual nets": {name: run for name, run in runs.items() if not _without_shortcuts(name)},
    }
    families = {family: members for family, members in families.items() if members}
    colours = _colours(runs)
    figure = blank_figure(len(families), 1, title)
    panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for panel, (family, members) in zip(panels, families.items()):
        for name, run in members.items():
            colour = colours[name]
            smooth = smoothed(run.training_error, run.window)
            panel.plot(run.iterations, smooth, color=colour, linewidth=0.8, linestyle="--")
            panel.plot(run.test_iterations, run.test_error, color=colour, linewidth=2.0, label=name)
        dress(panel, family, "iterations", "error (%)" if panel is panels[0] else "")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        styles = [
            Line2D([], [], color="0.4", linewidth=0.8, linestyle="--", label="training"),
            Line2D([], [], color="0.4", linewidth=2.0, label=held_out),
        ]
        _legend(panel, [*panel.get_legend_handles_labels()[0], *styles])
    if limits is not None:
        panels[0].set_ylim(*limits)
    return figure


def _without_shortcuts(name: str) -> bool:
    return "plain" in name or "vgg" in name


def cost_figure(points: Mapping[str, tuple[float, Sequence[float]]], title: str, x: str, y: str) -> Figure:
    """What nets achieve over what they cost, on a logarithmic x axis: a dot for each training run and the name at their
    mean. points: net -> its cost and its values. Raises `ValueError` for no points."""
    _check_any(points)
    figure = blank_figure(2, 1, title)
    panel = figure.subplots()
    colours = _colours(points)
    for name, (cost, values) in points.items():
        mark = "x" if _without_shortcuts(name) else "o"
        panel.plot([cost] * len(values), list(values), mark, color=colours[name], markersize=5)
        mean = float(np.mean(values))
        panel.annotate(name, (cost, mean), xytext=(7, -3), textcoords="offset points", size=8, color=colours[name])
    panel.set_xscale("log")
    panel.margins(x=0.2)
    dress(panel, "", x, y)
    return figure


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Means of `window` neighbours around each value; of those that there are near the ends."""
    array = np.asarray(values, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(array)])
    places = np.arange(len(array))
    first = np.maximum(places - (window - 1) // 2, 0)
    last = np.minimum(places + window // 2 + 1, len(array))
    return [float(v) for v in (sums[last] - sums[first]) / (last - first)]


def response_figure(responses: Mapping[str, Sequence[Response]]) -> Figure:
    """Standard deviations of the responses of every 3x3 layer, figure 7 of He et al. 2015: in the order of the layers
    above, sorted by magnitude below. Plain nets are dashed. Raises `ValueError` for no responses."""
    _check_any(responses)
    colours = _colours(responses)
    figure = blank_figure(1, 2, "Standard deviations of layer responses", scale=1.6)
    ordered, ranked = figure.subplots(2, 1, sharey=True)
    for name, layers in responses.items():
        colour, style = colours[name], "--" if "plain" in name else "-"
        stds = [layer.std for layer in layers]
        ordered.plot([layer.index for layer in layers], stds, style, color=colour, linewidth=1.4, label=name)
        ranked.plot(range(1, len(stds) + 1), sorted(stds, reverse=True), style, color=colour, linewidth=1.4, label=name)
    dress(ordered, "in the order of the layers", "3x3 layer, from the image", "std of response")
    dress(ranked, "sorted by magnitude", "3x3 layer, largest first", "std of response")
    for panel in (ordered, ranked):
        panel.set_ylim(bottom=0)
        _legend(panel)
    return figure


def gradient_figure(
    layers: Mapping[str, Mapping[str, float]],
    histories: Mapping[str, GradientHistory] | None = None,
    relative: bool = False,
) -> Figure:
    """Gradient norms: by layer, one line a net, and below by stage while each net learns.

    Args:
        layers: net -> path of a layer -> norm, from the image to the classifier.
        histories: net -> norms over iterations, a panel each on one logarithmic y axis; None leaves the row out.
        relative: the norms given are divided by those of the weights.
    Raises `ValueError` for no nets.
    """
    _check_any(layers)
    unit = "gradient norm / weight norm" if relative else "gradient norm"
    histories = histories or {}
    columns = max(len(histories), 1)
    figure = blank_figure(max(columns, 2), 2 if histories else 1, "Gradients of the loss with respect to the weights")
    grid = figure.add_gridspec(2 if histories else 1, columns)
    top = figure.add_subplot(grid[0, :])
    colours = _colours(layers)
    for name, norms in layers.items():
        colour, style = colours[name], "--" if "plain" in name else "-"
        top.plot(range(1, len(norms) + 1), list(norms.values()), style, color=colour, linewidth=1.4, label=name)
    top.set_yscale("log")
    dress(top, "by layer", "layer, from the image", unit)
    _legend(top)
    if histories:
        first = figure.add_subplot(grid[1, 0])
        others = [figure.add_subplot(grid[1, i], sharey=first) for i in range(1, columns)]
        _draw_histories(figure, [first, *others], histories, unit)
    return figure


def _draw_histories(figure: Figure, panels: list[Axes], histories: Mapping[str, GradientHistory], unit: str) -> None:
    """One net in each panel, one colour for each stage in all of them, and one legend below."""
    stages = list(dict.fromkeys(stage for history in histories.values() for stage in history.norms))
    colours = dict(zip(stages, colours_for(len(stages))))
    for panel, (name, history) in zip(panels, histories.items()):
        for stage, values in history.norms.items():
            panel.plot(history.iterations, list(values), color=colours[stage], linewidth=1.2, label=stage)
        panel.set_yscale("log")
        dress(panel, f"{name} while it learns", "iterations", unit if panel is panels[0] else "")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    handles = [Line2D([], [], color=colour, linewidth=1.2, label=stage) for stage, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, edgecolor="0.85")


def lesion_figure(lesions: Mapping[str, Lesions]) -> Figure:
    """Test error without each one block, a panel per net on one y axis; lines between stages, and a dashed one at the
    error of the intact net. After figure 3 of Veit et al. 2016. Raises `ValueError` for no nets."""
    _check_any(lesions)
    figure = blank_figure(1, len(lesions), "Test error after removing one block", scale=1.6)
    panels = figure.subplots(len(lesions), 1, sharey=True, squeeze=False)[:, 0]
    for panel, (name, lesion), colour in zip(panels, lesions.items(), colours_for(len(lesions))):
        places = range(1, len(lesion.errors) + 1)
        panel.plot(
            places, list(lesion.errors.values()), "o-", color=colour, markersize=4, linewidth=0.8, label="one removed"
        )
        panel.axhline(lesion.intact, color="0.3", linewidth=1.0, linestyle="--", label=f"intact: {lesion.intact:.2f} %")
        dress(panel, name, "", "test error (%)")
        panel.margins(y=0.2)
        _mark_stages(panel, list(lesion.errors))
        # Above the panel: inside it would hide a stage's number or a block.
        panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False)
    panels[-1].set_xlabel("removed block, by its number within the stage", size=9)
    return figure


def _mark_stages(panel: Axes, blocks: list[str]) -> None:
    """A line between the blocks of one stage and the next, and the stage's number (`stages_of`) above its blocks."""
    end = 0.5
    for layer, members in groupby(blocks, key=lambda name: name.split(".")[0]):
        start, end = end, end + len(list(members))
        if start > 0.5:
            panel.axvline(start, color="0.6", linewidth=0.8, linestyle=":")
        label = f"stage {int(layer.removeprefix('layer')) + 1}"
        # x in blocks, y as a share of the panel's height
        panel.text((start + end) / 2, 0.98, label, transform=panel.get_xaxis_transform(), ha="center", va="top", size=8)
    panel.set_xlim(0.5, end)
    step = -(-len(blocks) // TICKS)
    # From 1, and true in a plain net, where the first blocks of stages are missing.
    numbers = [int(name.split(".")[1]) + 1 for name in blocks]
    panel.set_xticks(range(1, len(blocks) + 1, step), [str(number) for number in numbers[::step]])


def _check_any(given: Mapping[str, object]) -> None:
    if not given:
        raise ValueError("nothing to draw: at least one net is needed")


def blank_figure(columns: int, rows: int, title: str, scale: float = 1.0) -> Figure:
    """Of `columns` x `rows` panels of the usual size, `scale` times as wide."""
    figure = Figure(figsize=(PANEL[0] * columns * scale, PANEL[1] * rows), dpi=DPI, layout="constrained")
    figure.suptitle(title, size=11)
    return figure


def colours_for(count: int) -> list[str]:
    """So many colours, which come again after the seventh."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _colours(nets: Iterable[str]) -> dict[str, str]:
    """Net -> colour; a plain net has that of the residual net otherwise of its name."""
    families = {net: net.replace("plain", "resnet") for net in nets}
    distinct = list(dict.fromkeys(families.values()))
    return {net: COLOURS[distinct.index(family) % len(COLOURS)] for net, family in families.items()}


def dress(panel: Axes, title: str, x: str, y: str) -> None:
    """Titles, grid and ticks as in every figure here."""
    panel.set_title(title, size=10)
    panel.set_xlabel(x, size=9)
    panel.set_ylabel(y, size=9)
    panel.tick_params(which="both", labelsize=8)
    panel.grid(True, color="0.88", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _legend(panel: Axes, handles: list[Line2D] | None = None) -> None:
    panel.legend(handles=handles, fontsize=8, frameon=True, framealpha=0.9, edgecolor="0.85")
