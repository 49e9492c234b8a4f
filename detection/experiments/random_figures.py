"""The figure of blocks deleted and swapped at random, in the dress of the other figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from detection.experiments.figures import COLOURS, DPI, PANEL
from detection.experiments.random_lesions import Disturbed


def disturbance_figure(nets: Mapping[str, Disturbed], intact: Mapping[str, float]) -> Figure:
    """Error over the number of blocks deleted (left) and of swaps (right): medians as lines, each draw as a dot. After
    figure 5 of Veit et al. 2016. intact: error of each net as it is, where nothing is deleted or swapped."""
    figure = Figure(figsize=(2 * PANEL[0], PANEL[1]), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for colour, (name, net) in zip(COLOURS * len(nets), nets.items()):
        for panel, errors in zip(panels, (net.removed, net.swapped)):
            counts = [0, *errors]
            panel.plot(counts, [intact[name], *map(np.median, errors.values())], color=colour, label=name)
            for count, values in errors.items():
                panel.plot([count] * len(values), values, ".", color=colour, alpha=0.4, markersize=4)
    for panel, what in zip(panels, ("blocks removed at random", "pairs of blocks swapped at random")):
        panel.set_xlabel(what, size=9)
        panel.grid(color="0.9", linewidth=0.6)
        panel.tick_params(labelsize=8)
    panels[0].set_ylabel("test error (%)", size=9)
    panels[0].legend(fontsize=8, frameon=False)
    return figure
