"""Parts of a split, counts, false alarms and confusions of a report, against reckonings of their own."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from second_reckoning import SEEN, counts_at, detections

from detection.config.schema import Config
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.results import ground_truth
from detection.loading.datasets import find_data
from detection.report.alarms import KINDS, confused, false_alarms
from detection.report.analysis import analyse
from detection.report.slices import ap_on_parts, image_parts, object_kinds, read_columns
from detection.report.traced import Traced


@pytest.fixture(scope="module")
def index(shapes) -> AnnotationIndex:
    return find_data(Config(data=str(shapes))).read("val")


@pytest.fixture(scope="module", params=range(3))
def analysis(index, request):
    results = detections(index, np.random.default_rng(request.param))
    return analyse(index, Traced(results, [SEEN] * len(index.labels), np.arange(len(index)) * 10.0))


def test_ap_of_a_part_is_that_of_its_images_alone(index, analysis):
    results, columns = analysis.traced.results, {"camera": [f"{k % 2}" for k in range(len(index))]}
    parts = image_parts(index, analysis.traced.brightness, columns)
    assert {"camera 0", "camera 1"} <= set(parts) and any("darkest" in name for name in parts)
    for name, (count, ap) in ap_on_parts(index, results, parts).items():
        ids = set(index.image_ids[parts[name]].tolist())
        truth = ground_truth(index)
        truth["images"] = [image for image in truth["images"] if image["id"] in ids]
        truth["annotations"] = [annotation for annotation in truth["annotations"] if annotation["image_id"] in ids]
        alone = evaluate_coco(truth, [r for r in results if r["image_id"] in ids], "pycocotools")
        assert (count, ap) == (len(ids), pytest.approx(alone.stats["AP"], abs=1e-9)), name


def test_examples_of_confusions_are_as_many_as_the_matrix_says(index, analysis):
    lowest = analysis.overall.threshold
    pairs = confused(index, analysis.traced.results, lowest, each=10**6)
    counted = Counter((pair.truth, pair.seen) for pair in pairs)
    off = analysis.errors.confusion * ~np.eye(len(analysis.errors.confusion), dtype=bool)
    assert counted == {(i, j): int(off[i, j]) for i, j in zip(*np.nonzero(off))}
    assert len({(pair.truth, pair.seen) for pair in analysis.confused}) == len(counted)  # each cell has a picture


def test_counts_kinds_and_alarms_add_up(index, analysis):
    results = analysis.traced.results
    for label, (own, count) in enumerate(zip(analysis.by_class, analysis.counts)):
        threshold = 1.1 if own.threshold is None else own.threshold
        right, reported, wanted = counts_at(index, results, label, threshold)
        assert (count.truth.sum(), count.found.sum()) == (wanted, reported)
        assert count.bias == pytest.approx((reported - wanted) / len(index))
        alarms = sum(results[a.result]["category_id"] == index.category_ids[label] for a in analysis.alarms)
        assert alarms == reported - right
    sizes = [counts for kind, counts in analysis.kinds.items() if "COCO" in kind]
    found = int((analysis.errors.matched >= 0).sum())
    assert (sum(asked for asked, _ in sizes), sum(own for _, own in sizes)) == (len(index.labels), found)


def test_a_false_alarm_says_what_it_lies_on(index):
    """One of each kind, by an object that is the only one that counts."""
    index = replace(index, crowd=np.arange(len(index.labels)) > 0)
    truth = next(a for a in ground_truth(index)["annotations"] if not a["iscrowd"])
    x, y, w, h = truth["bbox"]
    other = next(int(c) for c in index.category_ids if c != truth["category_id"])
    boxes = {
        "twice": (truth["category_id"], [x, y, w, h]),
        "class": (other, [x, y, w, h]),
        "box": (truth["category_id"], [x + 0.6 * w, y, w, h]),
        "both": (other, [x + 0.6 * w, y, w, h]),
        "background": (truth["category_id"], [x + 3 * w, y, w, h]),
    }
    assert set(boxes) == set(KINDS)
    results = [
        {"image_id": truth["image_id"], "category_id": category, "bbox": box, "score": 0.9 - k / 10}
        for k, (category, box) in enumerate(boxes.values())
    ]
    alarms = false_alarms(index, results, np.ones(len(results), bool))
    assert [alarm.kind for alarm in alarms] == list(boxes)
    assert alarms[2].iou == pytest.approx(0.4 / 1.6) and "IoU 0.25" in alarms[2].text(index)
    assert alarms[4].overlaps is None and alarms[4].neighbours[0][1] == pytest.approx(3 * w, abs=0.1)
    assert alarms[1].neighbours == [] and "no other of its class" in alarms[1].text(index)


def test_kinds_of_objects(index):
    kinds = object_kinds(index)
    ratio = index.xywh[:, 2] / index.xywh[:, 3]
    for name, rows in kinds.items():
        if name.startswith("wide"):
            assert (rows == (ratio >= 2)).all()
        if name.startswith("tall"):
            assert (rows == (ratio <= 0.5)).all()


def test_columns_of_the_user(index, tmp_path):
    table = tmp_path / "images.csv"
    names = [name.decode() for name in index.file_names.tolist()]
    table.write_text("image,site\n" + "".join(f"{name.rpartition('/')[2]},{k % 3}\n" for k, name in enumerate(names)))
    assert read_columns(table, index) == {"site": [str(k % 3) for k in range(len(names))]}
    table.write_text("image,site\n" + f"{names[0]},1\n")
    with pytest.raises(InputError, match=f"{table}: .* has no row; every image of the split needs a row"):
        read_columns(table, index)
    table.write_text("image\n")
    with pytest.raises(InputError, match="at least one column"):
        read_columns(table, index)
