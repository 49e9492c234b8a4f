"""Objects that one detector finds and the other misses, counted and drawn."""

import numpy as np
import pytest

from detection.config.schema import Config
from detection.evaluation.results import ground_truth
from detection.loading.datasets import find_data
from detection.report.charts import bars
from detection.report.side_by_side import sections, side_by_side


@pytest.fixture(scope="module")
def index(shapes):
    return find_data(Config(data=str(shapes))).read("val")


def exactly(index, rows):
    """Detections of these annotations and nothing else."""
    keys = ("image_id", "category_id", "bbox")
    annotations = ground_truth(index)["annotations"]
    return [{**{key: annotations[row][key] for key in keys}, "score": 0.9} for row in rows]


def test_each_object_is_counted_once_by_who_finds_it(index):
    objects = len(index.labels)
    first, second = range(0, objects - 2), range(2, objects - 1)
    pair = side_by_side(index, ("one", "two"), (exactly(index, first), exactly(index, second)))
    assert pair.counts() == {"both": objects - 4, "only_first": 2, "only_second": 1, "neither": 1}
    content = pair.to_json()
    assert content["found_by_first_only"] == index.annotation_ids[:2].tolist()
    assert content["found_by_second_only"] == index.annotation_ids[objects - 2 : objects - 1].tolist()
    by_class = [sum(counts.values()) for counts in content["by_class"].values()]
    assert by_class == [int((index.labels == label).sum()) for label in range(len(index.class_names))]
    (section,) = sections([pair])
    assert section.count('<rect class="first"') == 2 and section.count('<rect class="second"') == 1


def test_nothing_found_and_hostile_names(index):
    pair = side_by_side(index, ("<script>", "two"), ([], exactly(index, range(len(index.labels)))))
    assert pair.counts()["only_second"] == len(index.labels) == int(np.sum(pair.asked))
    assert "<script>" not in sections([pair])[0]
    chart = bars({"<b>": (0.4, (0.3, 0.5)), "two": (0.2, None)}, "AP")
    assert "<b>" not in chart and "40.0" in chart and chart.count('class="within"') == 1
