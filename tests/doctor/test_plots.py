from __future__ import annotations

import numpy as np
import pytest

from detection.doctor.plots import BINS, whole_bins


@pytest.mark.parametrize("largest", [0, 9, 10, 31, 39, 40, 41, 79, 93, 1000])
def test_every_bin_holds_as_many_whole_numbers(largest: int) -> None:
    """Else counts that are alike look like teeth."""
    edges = whole_bins(largest)
    held, _ = np.histogram(np.arange(int(edges[0] + 0.5), int(edges[-1] + 0.5)), edges)
    assert set(held.tolist()) == {int(edges[1] - edges[0])} and edges[0] < 0 and edges[-1] > largest
    assert len(held) <= BINS + 1
