"""The figure of blocks deleted and swapped at random, in the dress of the other figures."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from matplotlib.figure import Figure

from detection.experiments.figures import blank_figure, colours_for, dress
from detection.experiments.random_lesions import Disturbed


def disturbance_figure(nets: Mapping[str, Disturbed], intact: Mapping[str, float]) -> Figure:
    """Error over the number of blocks deleted (left) and of swaps (right): medians as lines, each draw as a dot. After
    figure 5 of Veit et al. 2016. intact: error of each net as it is, where nothing is deleted or swapped."""
    figure = blank_figure(2, 1, "Test error with several blocks removed or swapped")
    panels = figure.subplots(1, 2, sharey=True)
    for colour, (name, net) in zip(colours_for(len(nets)), nets.items()):
        for panel, errors in zip(panels, (net.removed, net.swapped)):
            panel.plot([0, *errors], [intact[name], *map(median, errors.values())], color=colour, label=name)
            for count, values in errors.items():
                panel.plot([count] * len(values), values, ".", color=colour, alpha=0.4, markersize=4)
    dress(panels[0], "removed at random", "blocks removed", "test error (%)")
    dress(panels[1], "swapped at random", "swaps of two blocks of a stage", "")
    panels[0].legend(fontsize=8, frameon=False)
    return figure
