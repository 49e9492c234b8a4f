"""The best overlap by one place a shape, against every anchor of the model's own generator; and the choice by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.automatic.anchors import Anchors, _means, best_overlap, recall, usual_anchors
from detection.automatic.choose import choose_anchors, choose_settings, choose_sides
from detection.config.schema import AnchorConfig, Config, ModelConfig
from detection.data.index import AnnotationIndex
from detection.data.locate import locate
from detection.doctor.examine import examine
from detection.engine.hardware import Hardware
from detection.geometry.anchors import AnchorGenerator
from detection.geometry.boxes import iou

ANCHORS = Anchors([[8.0], [16.0], [40.0]], [0.5, 1.0, 2.0], [4, 8, 16], 96, 128)
CPU, GPU = Hardware("cpu"), Hardware("cuda", "bf16")


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_overlap_is_that_of_all_anchors(seed: int, offset: float) -> None:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 60, (50, 2))
    boxes = np.concatenate([low, np.minimum(low + random.uniform(3, 60, (50, 2)), [128, 96])], axis=1)
    generator = AnchorGenerator(ANCHORS.sizes, ANCHORS.ratios, ANCHORS.strides, offset)
    every = torch.cat(generator([(96 // stride, 128 // stride) for stride in ANCHORS.strides]))
    wanted = iou(torch.from_numpy(boxes).float(), every).amax(1).numpy()
    frames = np.tile([128.0, 96.0], (50, 1))
    np.testing.assert_allclose(best_overlap(boxes, frames, replace(ANCHORS, offset=offset)), wanted, atol=1e-4)


def test_k_means_finds_separate_groups_and_bears_equal_values() -> None:
    values = np.concatenate([np.full(50, 1.0), np.full(10, 3.0), np.full(30, 7.0)])
    np.testing.assert_allclose(_means(values, 3), [1, 3, 7])
    assert np.allclose(_means(np.full(9, 2.0), 3), 2)


def index_of(seed: int, images: int, mean: float, spread: float, stretch: float, scale: float) -> AnnotationIndex:
    """Images of 40 to 2000 pixels, with objects of log-normal sides (a share of the image's) and shapes."""
    random = np.random.default_rng(seed)
    sizes = np.clip(random.lognormal(np.log(scale), 0.4, (images, 2)), 40, 2000).astype(np.int32)
    counts = random.poisson(4, images) + (np.arange(images) == 0)
    frames = np.repeat(sizes, counts, axis=0)[:, ::-1].astype(np.float64)
    total = len(frames)
    side = frames.min(axis=1) * mean * random.lognormal(0, spread, total)
    root = np.exp(random.normal(0, stretch, total) / 2)
    sides = np.clip(np.stack([side / root, side * root], 1), 1.5, frames)
    low = random.uniform(0, 1, (total, 2)) * (frames - sides)
    numbers, none = np.arange(total), np.zeros(total, dtype=bool)
    names = np.array([f"{i}.jpg".encode() for i in range(images)])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return AnnotationIndex(
        *(Path(), Path(), ("a",), np.array([1]), np.arange(images), names, sizes, offsets),
        *(np.concatenate([low, sides], axis=1), numbers * 0, sides.prod(axis=1), numbers, none, none),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 60),
    st.floats(0.01, 0.8),
    st.floats(0, 1.5),
    st.floats(0, 1.2),
    st.floats(64, 1500),
    st.sampled_from(["fpn", "c4", "dc5"]),
    st.sampled_from([CPU, GPU]),
)
def test_the_choice_never_meets_fewer_boxes_than_the_defaults(
    seed: int,
    images: int,
    mean: float,
    spread: float,
    stretch: float,
    scale: float,
    architecture: str,
    hardware: Hardware,
) -> None:
    index = index_of(seed, images, mean, spread, stretch, scale)
    model = ModelConfig(architecture=architecture)  # type: ignore[arg-type]
    chosen = {
        c.key: c.value for c in choose_settings(index, hardware, True, Config(model=model), ["model.architecture"])
    }
    sides = chosen["input.test_short_side"], chosen["input.long_side"]
    usual = usual_anchors(architecture, *sides)
    ratios = chosen.get("model.anchors.ratios", usual.ratios)
    met = recall(index, replace(usual, sizes=chosen["model.anchors.sizes"], ratios=ratios))
    least = recall(index, usual)
    assert all(met[threshold] >= least[threshold] for threshold in least)
    flat = [size for level in chosen["model.anchors.sizes"] for size in level]
    assert flat == sorted(flat) and len(flat) == 5


@pytest.mark.parametrize(("name", "least"), [("bccd", (0.995, 0.91)), ("coco_tiny", (0.83, 0.35))])
@pytest.mark.parametrize("hardware", [CPU, GPU])
def test_real_boxes_are_met_as_well_as_is_known_to_be_possible(
    shared: Path, name: str, least: tuple[float, float], hardware: Hardware
) -> None:
    index = locate(shared / f"data/{name}").read("train")
    met = recall(index, choose_anchors(index, choose_sides(index, hardware.gpu)))
    assert tuple(met.values()) >= least and met[0.7] >= least[1]


def test_check_data_prints_the_choice_of_training_with_what_it_meets(shared: Path) -> None:
    source = locate(shared / "data/coco_tiny")
    choice = {c.key: c for c in choose_settings(source.read("train"), CPU, True)}
    advice = examine(source, quick=True).advice[-1]
    if not torch.cuda.is_available():
        assert advice.anchors.sizes == choice["model.anchors.sizes"].value
        assert advice.anchors.short_side == choice["input.test_short_side"].value
        shares = " and ".join(f"{100 * share:.1f} %" for share in advice.recall.values())
        assert shares in choice["model.anchors.sizes"].why


def test_given_anchors_are_left_alone_and_given_ratios_fitted_to() -> None:
    index = index_of(0, 20, 0.1, 0.3, 0.1, 400)
    own = Config(model=ModelConfig(anchors=AnchorConfig([[9.0]] * 5)))
    keys = {c.key for c in choose_settings(index, CPU, True, own, ["model.anchors.sizes"])}
    assert not keys & {"model.anchors.sizes", "model.anchors.ratios"}
    model = ModelConfig(anchors=AnchorConfig(ratios=[1.0]))
    chosen = {c.key: c.value for c in choose_settings(index, CPU, True, Config(model=model), ["model.anchors.ratios"])}
    assert "model.anchors.ratios" not in chosen
    met = [
        recall(index, replace(usual_anchors("fpn", 320, 533), ratios=[1.0], sizes=s))
        for s in (chosen["model.anchors.sizes"], usual_anchors("fpn", 320, 533).sizes)
    ]
    assert met[0][0.5] > met[1][0.5]
