"""Pairs of boxes against all pairs, and outliers that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.index import AnnotationIndex
from detection.doctor.boxes import overlaps, unusual_boxes
from detection.geometry.boxes import iou


def index_of(xywh: np.ndarray, offsets: list[int], labels: np.ndarray | None = None) -> AnnotationIndex:
    images, rows = len(offsets) - 1, len(xywh)
    return AnnotationIndex(
        root=Path("."),
        source=Path("made"),
        class_names=("a", "b"),
        category_ids=np.array([1, 2]),
        image_ids=np.arange(images),
        file_names=np.array([f"{i}.jpg".encode() for i in range(images)]),
        sizes=np.full((images, 2), 200, dtype=np.int32),
        offsets=np.array(offsets),
        xywh=xywh,
        labels=np.zeros(rows, dtype=np.int64) if labels is None else labels,
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(rows),
        crowd=np.zeros(rows, dtype=bool),
        difficult=np.zeros(rows, dtype=bool),
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.7, 0.9]))
def test_the_sweep_finds_the_pairs_that_all_pairs_give(seed: int, least: float) -> None:
    random = np.random.default_rng(seed)
    base = np.concatenate([random.uniform(0, 20, (4, 2)), random.uniform(5, 100, (4, 2))], axis=1)
    xywh = (base[random.integers(0, 4, 40)] + random.normal(0, 2, (40, 4))).clip([0, 0, 2, 2], None)
    index = index_of(xywh, [0, 13, 13, 40])
    first, second, found = overlaps(index, least)
    wanted = set()
    for rows in (range(13), range(13, 40)):
        corners = torch.from_numpy(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)[list(rows)])
        for i, j in torch.nonzero(torch.triu(iou(corners, corners) >= least, 1)).tolist():
            wanted.add((rows[i], rows[j]))
    assert set(zip(first.tolist(), second.tolist())) == wanted and (found >= least).all()


def test_a_box_of_another_size_is_odd_and_one_cut_off_by_the_edge_is_not() -> None:
    random = np.random.default_rng(0)
    xywh = np.concatenate([random.uniform(20, 100, (50, 2)), random.uniform(38, 42, (50, 2))], axis=1)
    xywh[3] = [30, 30, 3, 3]
    xywh[4] = [0, 30, 3, 40]
    found = unusual_boxes("train", index_of(xywh, [0, 50]), np.ones(1))
    assert [item.annotation for rule, item in found if rule in ("odd size", "odd shape")] == [3]


def test_a_thousand_copies_of_a_box_take_no_quadratic_time() -> None:
    index = index_of(np.tile([10.0, 10, 30, 30], (20_000, 1)), [0, 20_000])
    first, second, _ = overlaps(index, 0.9)
    assert set(second.tolist()) == set(range(1, 20_000)) and len(first) < 500 * 20_000
