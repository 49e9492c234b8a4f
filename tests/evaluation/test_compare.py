"""Comparisons: the bootstrap is the evaluation itself on other images, the table says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.coco import read_coco
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.bootstrap import coco_matches, coco_samples, draw, interval, voc_matches, voc_samples
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.compare import Contestant, compare
from detection.evaluation.compare_pages import Pages, terminal_text
from detection.evaluation.paper_tables import PAPER_TABLES, paper_markdown, paper_table
from detection.evaluation.results import ground_truth
from detection.evaluation.voc_ap import evaluate_voc, voc_arrays

Results = list[dict[str, Any]]
IMAGES = 12
NAMES = ("cat", "<script>alert(1)</script>", "absent")


def scene(folder: Path) -> tuple[AnnotationIndex, Results, Results]:
    """A dataset with crowds and a class without objects, and the finds of a good and a worse detector."""
    random = np.random.default_rng(3)
    annotations: Results = []
    good: Results = []
    worse: Results = []
    for image in range(1, IMAGES + 1):
        for _ in range(random.integers(0, 6)):
            x, y, w, h = (float(v) for v in (*random.uniform(0, 300, 2), *random.uniform(15, 150, 2)))
            where = {"image_id": image * 7, "category_id": int(random.choice([3, 8]))}
            crowd = int(random.random() < 0.15)
            row = {"id": len(annotations), **where, "bbox": [x, y, w, h], "area": w * h, "iscrowd": crowd}
            annotations.append(row)
            for results, spread in ((good, 0.05), (worse, 0.15)):
                for _ in range(random.integers(0, 3)):
                    moved = [x + random.normal(0, spread * w), y + random.normal(0, spread * h), w, h]
                    results.append({**where, "bbox": [float(v) for v in moved], "score": float(random.random())})
        for results in (good, worse):
            false = {"image_id": image * 7, "category_id": int(random.choice([3, 8]))}
            results.append({**false, "bbox": [5.0, 5.0, 60.0, 60.0], "score": float(random.random() / 2)})
    categories = [{"id": i, "name": name} for i, name in zip((3, 8, 20), NAMES, strict=True)]
    images = [{"id": i * 7, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(1, IMAGES + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "truth.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return read_coco(file), good, worse


@pytest.fixture
def data(tmp_path: Path) -> tuple[AnnotationIndex, Results, Results]:
    return scene(tmp_path / "data")


def repeated(index: AnnotationIndex, results: Results, counts: list[int]) -> tuple[dict[str, Any], Results]:
    """The dataset and results in which image i is there counts[i] times, under new ids."""
    truth = ground_truth(index)
    new: dict[str, Any] = {"categories": truth["categories"], "images": [], "annotations": []}
    found: Results = []
    for image, count in zip(truth["images"], counts, strict=True):
        for _ in range(count):
            name = len(new["images"]) + 1
            new["images"].append({**image, "id": name})
            for source, copy in ((truth["annotations"], new["annotations"]), (results, found)):
                copy += [{**item, "image_id": name} for item in source if item["image_id"] == image["id"]]
    new["annotations"] = [{**a, "id": k} for k, a in enumerate(new["annotations"], 1)]
    return new, found


def test_with_every_image_once_the_bootstrap_is_the_evaluation(data: Any) -> None:
    index, good, _ = data
    once = np.ones((1, IMAGES), dtype=np.int64)
    stats = evaluate_coco(ground_truth(index), good).stats
    coco = coco_samples(coco_matches(index, good), once).measures
    assert coco["AP"][0] == pytest.approx(stats["AP"], abs=1e-12)
    assert coco["AP50"][0] == pytest.approx(stats["AP50"], abs=1e-12)
    expected = evaluate_voc(*voc_arrays(index, good))
    voc = voc_samples(voc_matches(index, good), once).measures
    assert voc["AP 11-point"][0] == pytest.approx(expected.mean_11point, abs=1e-12)
    assert voc["AP area"][0] == pytest.approx(expected.mean_area, abs=1e-12)


def test_a_resample_is_the_evaluation_of_a_dataset_with_these_images(data: Any) -> None:
    index, good, _ = data
    weights = draw(IMAGES, 4, seed=1)
    samples = coco_samples(coco_matches(index, good), weights).measures
    for row, counts in enumerate(weights.tolist()):
        stats = evaluate_coco(*repeated(index, good, counts)).stats
        assert samples["AP"][row] == pytest.approx(stats["AP"], abs=1e-12)
        assert samples["AP50"][row] == pytest.approx(stats["AP50"], abs=1e-12)


def test_resamples_without_objects_have_no_value(data: Any) -> None:
    index, good, _ = data
    empty = np.zeros((1, IMAGES), dtype=np.int64)
    assert np.isnan(coco_samples(coco_matches(index, good), empty).measures["AP"]).all()
    assert interval(np.array([np.nan, 0.5]), 0.5, 0.95) is None


@pytest.mark.parametrize("metric", ["coco", "voc"])
def test_numbers_are_the_evaluations_and_deltas_are_to_the_first(data: Any, metric: str) -> None:
    index, good, worse = data
    found = compare(index, [Contestant("a", "a.json", good), Contestant("b", "b.json", worse)], metric, 60)
    first, second = found.rows
    stats = evaluate_coco(ground_truth(index), worse).stats
    voc = evaluate_voc(*voc_arrays(index, worse))
    expected = {**stats, "AP 11-point": voc.mean_11point, "AP area": voc.mean_area}
    assert second.values == {name: expected[name] for name in found.measures}
    assert not first.deltas and not first.delta_intervals and first.per_class["absent"] is None
    for name in found.sampled:
        assert second.deltas[name] == second.values[name] - first.values[name] < 0
        for value, within in (
            (second.values[name], second.intervals[name]),
            (second.deltas[name], second.delta_intervals[name]),
        ):
            assert within.low <= value <= within.high and within.high - within.low > 0.01
    if metric == "coco":  # of one class alone it is the bootstrap of a dataset of that class
        label, weights = 0, draw(len(index), 60, 0)
        name, samples = index.class_names[0], coco_samples(coco_matches(index, worse), weights)
        expected = interval(samples.per_class[label], second.per_class[name], 0.95)
        assert second.class_intervals[name] == expected
        assert second.class_deltas[name][0] == second.per_class[name] - first.per_class[name]
    low, high = (second.class_deltas[index.class_names[0]][1].low, second.class_deltas[index.class_names[0]][1].high)
    assert low <= second.class_deltas[index.class_names[0]][0] <= high and not first.class_deltas
    json.dumps(found.to_json(), allow_nan=False)


def test_the_bootstrap_is_seeded_and_paired(data: Any) -> None:
    index, good, worse = data
    pair = [Contestant("a", "a", good), Contestant("b", "b", worse)]
    assert compare(index, pair, resamples=40, seed=5) == compare(index, pair, resamples=40, seed=5)
    assert compare(index, pair, resamples=40, seed=5) != compare(index, pair, resamples=40, seed=6)
    same = compare(index, [Contestant("a", "a", good), Contestant("b", "b", good)], resamples=40).rows[1]
    assert same.delta_intervals["AP"].low == same.delta_intervals["AP"].high == 0


def test_no_detections_and_no_resamples_take_the_normal_path(data: Any) -> None:
    index, _, _ = data
    found = compare(index, [Contestant("none", "none", [])], resamples=20)
    assert found.rows[0].values["AP"] == 0 and found.rows[0].intervals["AP"].high == 0
    assert not compare(index, [Contestant("none", "none", [])], resamples=0).rows[0].intervals


def test_unknown_image_category_and_metric_are_refused_by_file(data: Any) -> None:
    index, good, _ = data
    for change, named in (({"image_id": 1}, "image_id 1 "), ({"category_id": 4}, "category_id 4 ")):
        with pytest.raises(InputError, match=f"bad.json: .*{named}"):
            compare(index, [Contestant("bad", "bad.json", [{**good[0], **change}])])
    with pytest.raises(InputError, match="metric 'lvis' is unknown"):
        compare(index, [Contestant("a", "a", good)], "lvis")


def test_pages_show_percent_and_escape_names(data: Any) -> None:
    index, good, worse = data
    found = compare(index, [Contestant("a|b", "a", good), Contestant("<b>", "b", worse)], resamples=20)
    pages = Pages("split 'val' of D", "frcnn compare a b", ["a note"], paper_table(9, "coco"))
    html, markdown = pages.html(found), pages.markdown(found)
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html and "<td>&lt;b&gt;</td>" in html
    assert "a\\|b" in markdown and "<script" not in markdown and "a note" in markdown and "| cat " in markdown
    for text in (html, markdown, terminal_text(found)):
        assert (
            f"{100 * found.rows[0].values['AP']:.1f} [" in text and f"{100 * found.rows[1].deltas['AP']:+.1f}" in text
        )
    for text in (html, markdown):
        assert "+multi-scale testing" in text and "34.9" in text and "What differs" in text


def test_the_papers_numbers_are_there_and_of_their_metric() -> None:
    assert sorted(PAPER_TABLES) == [7, 8, 9, 10, 11, 12]
    best = {row.name: row.values for row in paper_table(8, "coco").rows}
    assert best["ResNet-101"] == {"AP": 27.2, "AP50": 48.4}
    assert "85.6" in paper_markdown(paper_table(10, "voc"), ["AP 11-point", "AP area"])
    with pytest.raises(InputError, match="table 6 does not show detection results"):
        paper_table(6, "coco")
    with pytest.raises(InputError, match="add --metric voc"):
        paper_table(7, "coco")
