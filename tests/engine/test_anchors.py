"""The best overlap by one place a shape, against every anchor of the model's own generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detection.engine.anchors import Anchors, _means, best_overlap
from detection.geometry.anchors import AnchorGenerator
from detection.geometry.boxes import iou

ANCHORS = Anchors([[8.0], [16.0], [40.0]], [0.5, 1.0, 2.0], [4, 8, 16], 96, 128)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_overlap_is_that_of_all_anchors(seed: int) -> None:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 60, (50, 2))
    boxes = np.concatenate([low, np.minimum(low + random.uniform(3, 60, (50, 2)), [128, 96])], axis=1)
    generator = AnchorGenerator(ANCHORS.sizes, ANCHORS.ratios, ANCHORS.strides)
    every = torch.cat(generator([(96 // stride, 128 // stride) for stride in ANCHORS.strides]))
    wanted = iou(torch.from_numpy(boxes).float(), every).amax(1).numpy()
    frames = np.tile([128.0, 96.0], (50, 1))
    np.testing.assert_allclose(best_overlap(boxes, frames, ANCHORS), wanted, atol=1e-4)


def test_k_means_finds_separate_groups_and_bears_equal_values() -> None:
    values = np.concatenate([np.full(50, 1.0), np.full(10, 3.0), np.full(30, 7.0)])
    np.testing.assert_allclose(_means(values, 3), [1, 3, 7])
    assert np.allclose(_means(np.full(9, 2.0), 3), 2)
