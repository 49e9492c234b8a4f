"""Training on tiles: which tiles, which boxes, and how often tiles without objects come."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.config.schema import InputConfig
from detection.data.coco import read_coco
from detection.data.dataset import DetectionDataset
from detection.data.order import Draw, EvaluationOrder, TrainingOrder
from detection.data.tiles import tiled

CONFIG = InputConfig(tile=60, tile_overlap=0.2, train_short_sides=[60], test_short_side=60, long_side=120, augment=[])
TILES = [(0, 0, 60, 60), (40, 0, 100, 60), (0, 40, 60, 100), (40, 40, 100, 100), (0, 0, 100, 100)]
"""Of an image of 100 x 100 and `CONFIG`; the whole image comes last."""


def index_of(folder, boxes, size=100, crowd=()):
    """An image of noise with the xywh `boxes`, and one that is smaller than a tile, without an object."""
    for name, side in (("a.png", size), ("b.png", 50)):
        Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(
            folder / name
        )
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": int(i in crowd), "area": box[2] * box[3]}
        for i, box in enumerate(boxes)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": size, "height": size}]
    images.append({"id": 2, "file_name": "b.png", "width": 50, "height": 50})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "all.json").write_text(json.dumps(content))
    return read_coco(folder / "all.json")


def test_an_object_on_a_seam_is_learned_where_enough_of_it_shows(tmp_path):
    """Half of the first object lies in the left tiles, 8 of 10 columns of the second; a third is whole in all four."""
    index = index_of(tmp_path, [[50, 10, 20, 10], [52, 70, 10, 10], [42, 42, 16, 16]])
    dataset = DetectionDataset(index, CONFIG, training=True)
    assert len(dataset) == len(TILES) + 1 and dataset.images is index
    samples = [dataset[Draw(row, 0, 60)] for row in range(len(dataset))]
    left, right, below, corner, whole, small = (sample.target for sample in samples)
    assert left.boxes.tolist() == [[42, 42, 58, 58]] and left.ignored.tolist() == [[50, 10, 60, 20]]
    assert right.boxes.tolist() == [[10, 10, 30, 20], [2, 42, 18, 58]] and not len(right.ignored)
    assert below.boxes.tolist() == [[52, 30, 60, 40], [42, 2, 58, 18]] and not len(below.ignored)  # 8 of 10 columns
    assert corner.boxes.tolist() == [[12, 30, 22, 40], [2, 2, 18, 18]]
    assert len(whole.boxes) == 3 and np.allclose(whole.boxes[0], [30, 6, 42, 12])  # the image at 60 of 100 pixels
    assert len(small.boxes) == len(small.ignored) == 0
    image = np.asarray(Image.open(tmp_path / "a.png"))
    for sample, (x1, y1, x2, y2) in zip(samples[:4], TILES):
        assert (sample.image.numpy().transpose(1, 2, 0) == image[y1:y2, x1:x2]).all()
    assert [sample.original_size for sample in samples[3:]] == [(60, 60), (100, 100), (50, 50)]


def test_the_share_that_must_show_and_what_is_a_crowd(tmp_path):
    index = index_of(tmp_path, [[50, 10, 20, 10], [5, 5, 10, 10]], crowd=[1])
    for visible, learned in ((0.5, 1), (0.51, 0)):
        target = DetectionDataset(index, replace(CONFIG, tile_visible=visible), training=False)[Draw(0, 0, 60)].target
        assert (len(target.boxes), len(target.ignored)) == (learned, 2 - learned)
    assert tiled(index, 60, 0.2, 0.7).empty().tolist() == [True, False, True, True, False, True]


@given(
    st.integers(60, 400),
    st.integers(40, 120),
    st.floats(0.1, 0.8),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 1)), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_each_object_within_the_overlap_is_whole_in_a_tile(tmp_path_factory, size, tile, overlap, objects):
    least = tile * overlap - 1
    boxes = [[x * (size - s * least), y * (size - s * least), s * least, s * least] for x, y, s in objects]
    found = tiled(index_of(tmp_path_factory.mktemp("image"), boxes, size), tile, overlap, 0.7)
    several = (found.rows == 0).sum() > 1
    shown = Counter()
    for view in np.flatnonzero(found.rows == 0)[: -1 if several else None]:
        rows = found.index.rows(view)
        for box, which in zip(found.index.xywh[rows], found.index.annotation_ids[rows].tolist()):
            shown[which] += np.allclose(box[2:], boxes[which][2:])
            assert (box[:2] >= 0).all() and (box[:2] + box[2:] <= found.index.sizes[view][::-1] + 1e-9).all()
    assert len(shown) == len(boxes) and min(shown.values()) >= 1
    assert found.index.annotation_ids[found.index.rows(np.flatnonzero(found.rows == 0)[-1])].tolist() == [
        *range(len(boxes))
    ]


def test_tiles_without_objects_come_as_often_as_is_said():
    empty = np.arange(48) % 6 > 0  # 40 of 48
    order = TrainingOrder(np.ones((48, 2)), 6, [60], 0, stop=400, repeats=np.where(empty, 0.25, 1.0))
    assert order.steps_per_epoch == 3  # 8 and a quarter of 40
    seen = Counter(draw.row for step in range(60) for draw in order.step(step))
    assert all(seen[row] == 20 for row in np.flatnonzero(~empty))
    assert sum(seen[row] for row in np.flatnonzero(empty)) == 200 and len(seen) == 48
    assert [*order][30:] == [*TrainingOrder(np.ones((48, 2)), 6, [60], 0, 400, 30, repeats=order.repeats)]


def test_an_image_is_decoded_once_in_evaluation(tmp_path, monkeypatch):
    from detection.data import dataset as module

    read, opened = module.read_image, []
    monkeypatch.setattr(module, "read_image", lambda path, bits: opened.append(path.name) or read(path, bits))
    dataset = DetectionDataset(index_of(tmp_path, [[50, 10, 20, 10]]), CONFIG, training=False)
    for draws in EvaluationOrder(len(dataset), 1, 60):
        dataset[draws[0]]
    assert opened == ["a.png", "b.png"]
