"""The count of planted label errors that a report finds counts what a person would."""

import numpy as np

from tools.planted_labels import KINDS, Planted, points_to, spoil


def test_what_is_planted_is_what_is_noted():
    rng = np.random.default_rng(0)
    annotations = [
        {"id": k, "image_id": 1, "category_id": k % 3, "bbox": [10.0 * k, 5.0, 8.0, 6.0]} for k in range(1, 41)
    ]
    before = {a["id"]: dict(a, bbox=list(a["bbox"])) for a in annotations}
    content = {"annotations": annotations, "categories": [{"id": k} for k in range(3)]}
    planted = {each.annotation: each for each in spoil(content, 0.3, rng)}
    after = {a["id"]: a for a in content["annotations"]}
    assert sorted(each.kind for each in planted.values()) == sorted(KINDS * 4)
    for number, own in before.items():
        kind = planted[number].kind if number in planted else None
        assert (number not in after) == (kind == "dropped")
        if kind != "dropped":
            assert (after[number]["bbox"] != own["bbox"]) == (kind == "moved")
            assert (after[number]["category_id"] != own["category_id"]) == (kind == "class")


def test_a_suspect_points_to_the_label_or_to_where_the_object_was():
    moved, dropped = Planted("moved", 1, 7, (0, 0, 10, 10)), Planted("dropped", 1, 8, (50, 50, 70, 60))
    doubt = {"image_id": 1, "of": 7, "bbox": [5, 5, 10, 10]}
    missing = {"image_id": 1, "of": None, "bbox": [51, 50, 19, 10]}
    assert points_to(doubt, moved) and not points_to(doubt, dropped)
    assert points_to(missing, dropped) and not points_to(missing, moved)
    assert points_to({**missing, "bbox": [1, 0, 9, 10]}, moved)
    assert not points_to({**missing, "image_id": 2}, dropped) and not points_to({**doubt, "of": 9}, moved)
