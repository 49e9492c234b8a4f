"""How images are shared out to folds: all of them once, copies together, classes everywhere."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from detection.data.coco import read_coco
from detection.data.shapes import write_shapes
from detection.errors import InputError
from detection.folds.parts import fold_of, joined


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Of 30 images each, train and val of one dataset."""
    root = write_shapes(tmp_path_factory.mktemp("data") / "shapes", train=30, val=30, size=64)
    return lambda name: read_coco(root / "annotations" / f"instances_{name}.json", root / name)


def test_joined_splits_keep_every_image_with_its_own_boxes(split):
    train, val = split("train"), split("val")
    both = joined([train, val])
    assert len(both) == 60 and len(set(both.image_ids.tolist())) == 60
    assert len(set(both.annotation_ids.tolist())) == len(both.labels)
    for index, start in ((train, 0), (val, 30)):
        for row in (0, 17, 29):
            assert both.path(start + row).samefile(index.path(row))
            np.testing.assert_array_equal(both.boxes(start + row), index.boxes(row))
            np.testing.assert_array_equal(both.labels[both.rows(start + row)], index.labels[index.rows(row)])
    assert joined([train]) is train


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_are_even_in_images_and_classes_and_always_the_same(split, folds):
    index = joined([split("train"), split("val")])
    part = fold_of(index, folds)
    images = np.bincount(part, minlength=folds)
    assert images.sum() == 60 and images.min() >= 0.6 * 60 / folds and images.max() <= 1.5 * 60 / folds
    np.testing.assert_array_equal(part, fold_of(index, folds))
    of_row = np.repeat(part, np.diff(index.offsets))
    for label in range(len(index.class_names)):
        assert len(set(of_row[index.labels == label].tolist())) > 1


def test_order_and_names_change_nothing_and_copies_stay_together(split, tmp_path):
    index = split("train")
    part = fold_of(index, 3)
    turned = np.arange(len(index))[::-1]
    np.testing.assert_array_equal(fold_of(index.select_images(turned), 3), part[turned])
    for k in range(6):
        shutil.copy(index.path(k % 2), tmp_path / f"{k}.jpg")
    names = np.array([f"{k}.jpg".encode() for k in range(6)])
    copies = replace(index.select_images(np.array([0, 1, 0, 1, 0, 1])), root=tmp_path, file_names=names)
    with pytest.raises(InputError, match="--folds 2: .* has 2 different images; folds of two images or more need 4"):
        fold_of(copies, 2)
    doubled = joined([index, replace(copies, image_ids=np.arange(900, 906))])
    part = fold_of(doubled, 3)
    assert len(set(part[[0, 30, 32, 34]].tolist())) == len(set(part[[1, 31, 33, 35]].tolist())) == 1
