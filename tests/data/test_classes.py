"""Classes are told apart by their names: order and ids of a file are its own affair."""

import json
import shutil

import numpy as np
import pytest

from detection.cli.main import main
from detection.data.coco import read_coco
from detection.data.locate import locate
from detection.errors import InputError

NAMES = ("circle", "rectangle", "triangle", "star", "cross", "ring")


def rewritten(shapes, folder, change):
    data = shutil.copytree(shapes, folder)
    file = data / "annotations" / "instances_val.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return data


def other_ids(content):
    """Every class has the id that another one had."""
    ids = [category["id"] for category in content["categories"]]
    turned = dict(zip(ids, ids[1:] + ids[:1]))
    for key, items in (("id", content["categories"]), ("category_id", content["annotations"])):
        for item in items:
            item[key] = turned[item[key]]


def test_other_ids_and_another_order_find_the_same(trained, shapes, tmp_path):
    data = rewritten(shapes, tmp_path / "data", other_ids)
    out = tmp_path / "out"
    assert main(["evaluate", f"--checkpoint={trained / 'best.pt'}", f"--data={data}", f"--output={out}"]) == 0

    def by_name(file, data):
        index = read_coco(data / "annotations" / "instances_val.json")
        names = dict(zip(index.category_ids.tolist(), index.class_names))
        return [(r["image_id"], names[r["category_id"]], r["bbox"], r["score"]) for r in json.loads(file.read_text())]

    assert by_name(out / "predictions.json", data) == by_name(trained / "predictions.json", shapes)


def test_a_class_without_objects_may_lack_and_one_with_objects_must_be_known(shapes, tmp_path):
    plain = locate(shapes).read("val", NAMES)
    lacking = {int(k) for k in set(range(len(NAMES))) - set(plain.labels.tolist())}
    ids = {int(plain.category_ids[k]) for k in lacking}

    def drop(content):
        content["categories"] = [c for c in content["categories"] if c["id"] not in ids]

    index = locate(rewritten(shapes, tmp_path / "data", drop)).read("val", NAMES)
    assert lacking and index.class_names == NAMES and np.array_equal(index.labels, plain.labels)
    assert len(set(index.category_ids.tolist())) == len(NAMES)
    with pytest.raises(InputError, match="has the classes .* are needed; name the classes alike"):
        locate(shapes).read("val", NAMES[:2])
