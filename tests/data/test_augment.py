"""Augmentation from names: what is refused, what is reproducible, what happens to boxes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from detection.data.augment import Augmentation
from detection.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
BOXES = np.array([[5, 10, 25, 30], [40, 0, 60, 40]], dtype=np.float32)
FLIP = {"name": "HorizontalFlip", "p": 1.0}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "HorizontalFlop"}, r"input\.augment\[1\]: .*'HorizontalFlop'; did you mean HorizontalFlip\?"),
        ({"name": "Compose"}, r"input\.augment\[1\]: .*no transform 'Compose'"),
        ({"name": "HorizontalFlip", "probability": 1}, r"input\.augment\[1\]: HorizontalFlip .*probability"),
        ({"name": "HorizontalFlip", "p": 7}, r"input\.augment\[1\]: HorizontalFlip .*p"),
    ],
)
def test_an_unknown_transform_or_argument_is_named(spec, message):
    with pytest.raises(InputError, match=message):
        Augmentation([FLIP, spec])


def test_a_flip_mirrors_image_and_boxes_and_leaves_what_it_was_given():
    image, boxes = IMAGE.copy(), BOXES.copy()
    found = Augmentation([FLIP])(image, boxes, seed=0)
    flipped, moved, rows = found.image, found.boxes, found.rows
    assert np.array_equal(flipped, IMAGE[:, ::-1]) and rows.tolist() == [0, 1]
    np.testing.assert_allclose(moved, [[35, 10, 55, 30], [0, 0, 20, 40]], atol=1e-4)
    assert moved.dtype == np.float32
    assert np.array_equal(image, IMAGE) and np.array_equal(boxes, BOXES)


def test_flips_alone_draw_and_move_as_they_do_among_other_transforms():
    flips = [{"name": "HorizontalFlip", "p": p} for p in (0.5, 0.6)]
    alone, among = Augmentation(flips), Augmentation([*flips, {"name": "NoOp"}])
    changed = 0
    for seed in range(40):
        found, wanted = alone(IMAGE, BOXES, seed), among(IMAGE, BOXES, seed)
        assert np.array_equal(found.image, wanted.image) and np.array_equal(found.rows, wanted.rows)
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-4)
        changed += not np.array_equal(found.image, IMAGE)
    assert 5 < changed < 35


def test_the_same_seed_gives_the_same_picture_whatever_came_before():
    augment = Augmentation([{"name": "RandomBrightnessContrast", "p": 1.0}, {"name": "HorizontalFlip", "p": 0.5}])
    first = augment(IMAGE, BOXES, seed=3)
    other = augment(IMAGE, BOXES, seed=4)
    again = augment(IMAGE, BOXES, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(again).values()))
    assert not np.array_equal(first.image, other.image)


CROP = {"name": "Crop", "x_min": 0, "y_min": 0, "x_max": 42, "y_max": 40}


def test_a_box_mostly_cut_off_is_told_apart_and_no_boxes_are_fine():
    found = Augmentation([CROP], min_visibility=0.2)(IMAGE, BOXES, 0)  # which leaves 2 of 20 columns of box 1
    assert found.rows.tolist() == [0, 1] and found.whole.tolist() == [True, False]
    np.testing.assert_allclose(found.boxes, [[5, 10, 25, 30], [40, 0, 42, 40]], atol=1e-4)
    assert Augmentation([CROP], min_visibility=0.05)(IMAGE, BOXES, 0).whole.tolist() == [True, True]
    outside = Augmentation([{**CROP, "x_max": 39}], min_visibility=0.05)(IMAGE, BOXES, 0)
    assert outside.rows.tolist() == [0] and outside.whole.tolist() == [True]
    found = Augmentation([CROP])(IMAGE, BOXES[:0], 0)
    assert found.image.shape == (40, 42, 3) and found.boxes.shape == (0, 4) and found.rows.shape == (0,)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([FLIP, {"name": "Normalize"}], r"augment\[1\]: Normalize: makes float32 .* the model .* normalises by itself"),
        ([{"name": "ToFloat", "p": 0.01}], r"augment\[0\]: ToFloat: makes float32"),
        ([{"name": "ToTensorV2"}], r"augment\[0\]: ToTensorV2: makes Tensor"),
        (
            [FLIP, {"name": "RandomCrop", "height": 50, "width": 9}],
            r"augment\[1\]: RandomCrop: .*\(50, 9\) vs",
        ),
        ([{"name": "Mosaic"}], r"augment\[0\]: Mosaic: .*mosaic_metadata"),
        ([{"name": "ToGray", "num_output_channels": 1}], r"augment\[0\]: ToGray: makes an array of shape \(40, 60\)"),
    ],
)
def test_a_transform_that_cannot_work_is_named_before_training(specs, message):
    with pytest.raises(InputError, match=message) as refused:
        Augmentation(specs).try_out(IMAGE, BOXES)
    assert "\n" not in str(refused.value)


def test_pixels_that_go_to_float_and_back_are_fine():
    there_and_back = [{"name": "ToFloat"}, {"name": "FromFloat", "dtype": "uint8"}]
    augment = Augmentation([{**spec, "p": 1.0} for spec in there_and_back])
    augment.try_out(IMAGE, BOXES)
    assert np.abs(augment(IMAGE, BOXES, 0).image.astype(int) - IMAGE).max() <= 1


def test_nothing_asks_the_network():
    code = """
import socket
def refuse(*_, **__): raise AssertionError("asked the network")
socket.socket.connect = socket.getaddrinfo = refuse
import os, sys
from detection.data.augment import Augmentation
assert "albumentations" not in sys.modules, "slow to import, so late"
Augmentation([{"name": "HorizontalFlip"}])
assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1" and "albumentations" in sys.modules
"""
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
