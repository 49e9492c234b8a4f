"""From a draw to a sample: the rules for boxes, sizes and orientation."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.config.schema import InputConfig
from detection.data.coco import read_coco
from detection.data.dataset import DetectionDataset, loader
from detection.data.order import Draw, EvaluationOrder
from detection.errors import InputError

FLIP = [{"name": "HorizontalFlip", "p": 1.0}]


def dataset_of(folder, boxes, crowd=(), config=None, training=False, size=(60, 40), exif=None):
    """One image of `size` (width, height), as it is shown, with the xywh `boxes`; `crowd`: which of them are crowds."""
    stored = size if exif is None else size[::-1]
    pixels = np.random.default_rng(0).integers(0, 256, (stored[1], stored[0], 3), dtype=np.uint8)
    tags = Image.Exif()
    tags[0x0112] = exif or 1
    Image.fromarray(pixels).save(folder / "a.png", exif=tags)
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1 + i % 2, "bbox": box, "iscrowd": int(i in crowd)}
        for i, box in enumerate(boxes)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (folder / "all.json").write_text(text)
    return DetectionDataset(read_coco(folder / "all.json"), config or InputConfig(long_side=2000), training)


def test_boxes_are_cut_at_the_edges_and_small_ones_dropped(tmp_path):
    boxes = [[-5, 30, 15, 20], [10, 10, 0.5, 9], [59.5, 5, 10, 10], [20, 10, 20, 10]]
    target = dataset_of(tmp_path, boxes)[Draw(0, 0, 40)].target
    assert target.boxes.tolist() == [[0, 30, 10, 40], [20, 10, 40, 20]]
    assert target.labels.tolist() == [0, 1]


def test_crowds_and_difficult_objects_are_ignored_regions(tmp_path):
    dataset = dataset_of(tmp_path, [[0, 0, 10, 10], [20, 10, 30, 20], [5, 5, 9, 9]], crowd=[1])
    dataset.index.difficult[2] = True
    target = dataset[Draw(0, 0, 40)].target
    assert target.boxes.tolist() == [[0, 0, 10, 10]] and target.labels.tolist() == [0]
    assert target.ignored.tolist() == [[20, 10, 50, 30], [5, 5, 14, 14]]


def test_resizing_scales_boxes_and_keeps_the_original_size(tmp_path):
    dataset = dataset_of(tmp_path, [[10, 10, 20, 20]])
    sample = dataset[Draw(0, 0, 80)]
    assert sample.image.shape == (3, 80, 120) and sample.image.dtype == torch.uint8
    assert sample.original_size == (40, 60) and sample.index == 0
    assert sample.target.boxes.tolist() == [[20, 20, 60, 60]]
    dataset.long_side = 90
    assert dataset[Draw(0, 0, 80)].image.shape == (3, 60, 90)


def test_only_training_augments(tmp_path):
    config = InputConfig(long_side=2000, augment=FLIP)
    still = dataset_of(tmp_path, [[0, 0, 10, 10]], config=config)[Draw(0, 0, 40)]
    turned = dataset_of(tmp_path, [[0, 0, 10, 10]], config=config, training=True)[Draw(0, 0, 40)]
    assert still.target.boxes.tolist() == [[0, 0, 10, 10]] and turned.target.boxes.tolist() == [[50, 0, 60, 10]]
    assert torch.equal(turned.image, still.image.flip(2))


@pytest.mark.parametrize("orientation", [6, 8])
def test_an_image_turned_by_exif_is_upright_where_its_boxes_are(tmp_path, orientation):
    sample = dataset_of(tmp_path, [[10, 10, 20, 20]], exif=orientation)[Draw(0, 0, 40)]
    assert sample.original_size == (40, 60) and sample.image.shape == (3, 40, 60)
    assert sample.target.boxes.tolist() == [[10, 10, 30, 30]]


def test_augmentation_follows_from_the_seed_alone(tmp_path):
    """Also where albumentations draws from OpenCV's, numpy's or Python's global state."""
    names = ("GaussNoise", "AdditiveNoise", "RandomBrightnessContrast", "ElasticTransform", "CoarseDropout")
    config = InputConfig(long_side=2000, augment=[*FLIP, *({"name": name, "p": 0.7} for name in names)])
    one, other = (dataset_of(tmp_path, [[0, 0, 10, 10]], config=config, training=True) for _ in range(2))
    draws = [Draw(0, seed, 40) for seed in range(12)]
    forward = [one[draw].image for draw in draws]
    backward = [other[draw].image for draw in reversed(draws)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward))
    assert not all(torch.equal(forward[0], image) for image in forward)


def test_another_image_stands_in_for_one_that_cannot_be_read(shapes, tmp_path):
    folder = shutil.copytree(shapes, tmp_path / "shapes")
    index = read_coco(folder / "annotations/instances_train.json")
    index.path(2).write_bytes(b"nothing")
    dataset = DetectionDataset(index, InputConfig(skip_unreadable=1), training=True)
    samples = [dataset[Draw(2, seed, 64)] for seed in range(8)]
    assert all(s.index != 2 and list(s.unreadable) == [str(index.path(2))] for s in samples)
    assert [dataset[Draw(2, seed, 64)].index for seed in range(8)] == [s.index for s in samples]
    assert len({s.index for s in samples}) > 1 and not dataset[Draw(1, 0, 64)].unreadable
    strict = DetectionDataset(index, InputConfig(skip_unreadable=1), training=False)
    with pytest.raises(InputError, match=str(index.path(2))):
        strict[Draw(2, 0, 64)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 20), st.integers(5, 20), st.integers(5, 20))
def test_what_is_ignored_stays_so_whatever_a_crop_leaves_of_it(tmp_path_factory, x, y, width, height):
    """A crowd over the whole picture, of which a crop of a tenth must not become background."""
    crop = {"name": "Crop", "x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height, "p": 1.0}
    config = InputConfig(long_side=2000, augment=[crop], min_visibility=0.5)
    folder = tmp_path_factory.mktemp("crowd")
    boxes = [[0, 0, 60, 40], [x - 100, y + 1, 102, 2], [x + 1, y + 1, 3, 3]]
    target = dataset_of(folder, boxes, crowd=[0], config=config, training=True)[Draw(0, 0, height)].target
    scale = height / min(width, height)
    frame = [0, 0, width * scale, height * scale]
    assert any(np.allclose(box, frame, atol=1) for box in target.ignored.tolist())
    assert len(target.boxes) <= 2 and len(target.boxes) + len(target.ignored) == 3  # nothing seen becomes background


def test_an_object_of_which_little_stays_is_neither_learned_nor_background(tmp_path):
    crop = {"name": "Crop", "x_min": 0, "y_min": 0, "x_max": 42, "y_max": 40, "p": 1.0}
    config = InputConfig(long_side=2000, augment=[crop], min_visibility=0.2)
    target = dataset_of(tmp_path, [[5, 10, 20, 20], [40, 0, 20, 40]], config=config, training=True)[
        Draw(0, 0, 40)
    ].target
    np.testing.assert_allclose(target.boxes, [[5, 10, 25, 30]], atol=1e-3)
    np.testing.assert_allclose(target.ignored, [[40, 0, 42, 40]], atol=1e-3)


def test_a_transform_that_fails_on_one_image_is_named_with_it(tmp_path):
    config = InputConfig(augment=[{"name": "RandomCrop", "height": 41, "width": 9, "p": 1.0}])
    dataset = dataset_of(tmp_path, [[0, 0, 10, 10]], config=config, training=True)
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"a\.png: input\.augment\[0\]: RandomCrop: .*\(41, 9\)"):
            next(iter(loader(dataset, [[Draw(0, 0, 40)]], workers, 32, pin=False)))
    with pytest.raises(InputError, match=r"augment\[0\]: RandomCrop: .*\(tried on .*a\.png\)"):
        dataset.try_augmentation()


def test_an_image_without_objects_is_a_sample_too(tmp_path):
    target = dataset_of(tmp_path, [], training=True)[Draw(0, 0, 40)].target
    assert target.boxes.shape == (0, 4) and target.labels.shape == (0,) and target.ignored.shape == (0, 4)


def test_a_batch_is_padded_right_and_below_to_the_multiple(tmp_path):
    dataset = dataset_of(tmp_path, [[10, 10, 20, 20]])
    batches = loader(dataset, [[Draw(0, 0, 40), Draw(0, 0, 32)]], workers=0, multiple=32, pin=False)
    batch = next(iter(batches))
    assert batch.images.shape == (2, 3, 64, 64) and batch.sizes == [(40, 60), (32, 48)]
    assert batch.images[1, :, 32:].sum() == batch.images[1, :, :, 48:].sum() == 0
    assert batch.original_sizes == [(40, 60)] * 2 and batch.indices == [0, 0]
    worker = next(iter(loader(dataset, EvaluationOrder(1, 1, 40), workers=1, multiple=32, pin=False)))
    assert torch.equal(worker.images, batch.images[:1])
