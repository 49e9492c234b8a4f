"""Detections of one image that two programs found."""

import torch


def assert_same(found, expected):
    """As many, with the same scores; and each has its like, whatever the order of equal scores. What scores least may
    be one or the other of two that score the same."""
    assert len(found.boxes) == len(expected.boxes)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-3, rtol=0)
    for box, score, label in zip(expected.boxes, expected.scores, expected.labels):
        like = (found.labels == label) & ((found.scores - score).abs() < 1e-3)
        like &= ((found.boxes - box).abs() < 0.5).all(1)
        assert like.any() or score < expected.scores.min() + 1e-3
