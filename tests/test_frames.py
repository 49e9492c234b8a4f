"""A box goes from the file to the network and back, through every turn, resize, crop and padding, and lies on the
same pixels all the way."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.config.schema import InputConfig
from detection.data.coco import read_coco
from detection.data.dataset import DetectionDataset
from detection.data.order import Draw
from detection.geometry.boxes import rescale
from detection.model.selection import Candidates, to_detections
from detection.predict.detector import to_sample
from detection.records import collate

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> what was done to the upright picture before it was stored."""

sizes = st.integers(24, 90)


def dataset(folder, height, width, box, orientation, long_side, augment=()):
    """One image, black but for the white x1 y1 x2 y2 `box` of the upright picture, stored as a turned camera does."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    picture, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    stored = picture if STORED[orientation] is None else picture.transpose(STORED[orientation])
    stored.save(folder / "a.png", exif=exif)
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [*box[:2], box[2] - box[0], box[3] - box[1]]}
    images = [{"id": 1, "file_name": "a.png", "width": width, "height": height}]
    content = {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "white"}]}
    (folder / "all.json").write_text(json.dumps(content))
    config = InputConfig(long_side=long_side, augment=list(augment))
    return DetectionDataset(read_coco(folder / "all.json"), config, training=True), pixels


def assert_white_there(image, box, slack):
    """The white of (3, H, W) lies within the box, up to `slack` pixels on each side."""
    rows, columns = np.nonzero(image[0].numpy() > 127)
    x1, y1, x2, y2 = box
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found, [x1, y1, x2, y2], atol=slack)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, sizes, st.integers(1, 8), st.integers(32, 120), st.integers(60, 200), st.data())
def test_there_and_back(tmp_path, height, width, orientation, short_side, long_side, data):
    x1 = data.draw(st.integers(0, width - 10))
    y1 = data.draw(st.integers(0, height - 10))
    box = [x1, y1, data.draw(st.integers(x1 + 8, width)), data.draw(st.integers(y1 + 8, height))]
    images, pixels = dataset(tmp_path, height, width, box, orientation, max(long_side, short_side))
    sample = images[Draw(0, 0, short_side)]
    seen = (sample.image.shape[1], sample.image.shape[2])
    assert sample.original_size == (height, width)
    scale = max(seen[0] / height, seen[1] / width, 1)
    assert_white_there(sample.image, sample.target.boxes[0].tolist(), slack=1.5 * scale)
    back = rescale(sample.target.boxes, seen, (height, width))
    torch.testing.assert_close(back, torch.tensor([box], dtype=torch.float32), atol=1e-3, rtol=0)

    batch = collate([sample, to_sample(np.zeros((97, 101, 3), np.uint8), 97, 101)], multiple=32)
    assert_white_there(batch.images[0], sample.target.boxes[0].tolist(), slack=1.5 * scale)  # padding moves nothing
    found = Candidates(sample.target.boxes, torch.ones(1), torch.zeros(1, dtype=torch.int64))
    detections = to_detections(found, batch.sizes[0], batch.original_sizes[0])
    torch.testing.assert_close(detections.boxes, torch.tensor([box], dtype=torch.float32), atol=1e-3, rtol=0)

    # Prediction sees the same pixels as training does, and answers in the same frame.
    alone = to_sample(pixels, short_side, max(long_side, short_side))
    assert torch.equal(alone.image, sample.image) and alone.original_size == sample.original_size


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    "augment",
    [
        [{"name": "HorizontalFlip", "p": 1.0}],
        [{"name": "Crop", "x_min": 10, "y_min": 5, "x_max": 70, "y_max": 45}],
        [{"name": "Crop", "x_min": 10, "y_min": 5, "x_max": 70, "y_max": 45}, {"name": "HorizontalFlip", "p": 1.0}],
        [{"name": "Resize", "height": 30, "width": 100}],
        [{"name": "RandomRotate90", "p": 1.0}],
    ],
    ids=["flip", "crop", "crop and flip", "squeeze", "turn"],
)
def test_augmentation_moves_pixels_and_boxes_alike(tmp_path, orientation, augment):
    images, _ = dataset(tmp_path, 50, 80, [20, 10, 60, 30], orientation, 400, [{"p": 1.0, **one} for one in augment])
    for seed in range(4):
        sample = images[Draw(0, seed, 64)]
        assert_white_there(sample.image, sample.target.boxes[0].tolist(), slack=2.5)
