"""Submission files: what the devkit's own reading of them says is what our evaluation says."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from detection.cli.main import main
from detection.errors import InputError
from detection.evaluation.submission import coco_submission_name, write_coco_submission, write_voc_submission
from detection.evaluation.voc_ap import VocDetections, evaluate_voc, voc_arrays


def _scenes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_scenes", Path(__file__).with_name("test_compare.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def devkit_ap(lines: list[str], objects: dict[str, list[tuple[list[float], bool]]]) -> float:
    """Area AP at IoU .5 of one class as VOCevaldet.m has it: a plain loop over the lines of a results file.

    objects: image -> (xmin ymin xmax ymax, difficult).
    """
    rows = sorted((line.split() for line in lines), key=lambda row: -float(row[1]))
    taken: dict[str, set[int]] = defaultdict(set)
    total = sum(not difficult for found in objects.values() for _, difficult in found)
    right: list[int] = []
    for image, _, *corners in rows:
        x1, y1, x2, y2 = map(float, corners)
        best, which = -1.0, -1
        for k, ((a1, b1, a2, b2), _) in enumerate(objects.get(image, [])):
            width, height = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
            if width <= 0 or height <= 0:
                continue
            union = (x2 - x1 + 1) * (y2 - y1 + 1) + (a2 - a1 + 1) * (b2 - b1 + 1) - width * height
            if width * height / union > best:
                best, which = width * height / union, k
        if best <= 0.5:
            right.append(0)
        elif not objects[image][which][1]:
            right.append(int(which not in taken[image]))
            taken[image].add(which)
    tp = np.cumsum(right)
    recall = np.concatenate([[0], tp / total, [1]])
    precision = np.concatenate([[0], tp / np.arange(1, len(right) + 1), [0]])
    for k in range(len(precision) - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return float(((recall[steps + 1] - recall[steps]) * precision[steps + 1]).sum())


def test_an_independent_reader_of_the_voc_files_finds_our_ap(tmp_path: Path) -> None:
    index, results, _ = _scenes().scene(tmp_path / "data")
    names = ("cat", "dog", "absent")
    index = index.__class__(**{**index.__dict__, "class_names": names})
    _, detections = voc_arrays(index, results)
    stems = dict(zip(index.image_ids.tolist(), index.stems(), strict=True))
    files = write_voc_submission(tmp_path / "out", names, stems, detections)
    folder = tmp_path / "out/results/VOC2012/Main"
    assert [file.name for file in files] == [f"comp4_det_test_{name}.txt" for name in names]
    assert (folder / "comp4_det_test_absent.txt").read_text() == ""
    expected = evaluate_voc(*voc_arrays(index, results)).per_class
    for label, name in enumerate(names[:2]):
        objects: dict[str, list[tuple[list[float], bool]]] = defaultdict(list)
        for i, stem in enumerate(index.stems()):
            for row in range(index.rows(i).start, index.rows(i).stop):
                if index.labels[row] == label:
                    x, y, w, h = index.xywh[row].tolist()
                    objects[stem].append(([x + 1, y + 1, x + w, y + h], bool(index.crowd[row])))
        lines = (folder / f"comp4_det_test_{name}.txt").read_text().splitlines()
        assert len(lines) > 5
        assert devkit_ap(lines, objects) == pytest.approx(expected[name].ap_area, abs=1e-12)


def test_voc_corners_are_one_based_and_inclusive(shapes: Path, tmp_path: Path) -> None:
    truth = json.loads((shapes / "annotations/instances_val.json").read_text())
    image, category = truth["images"][0], truth["categories"][0]
    result = {"image_id": image["id"], "category_id": category["id"], "bbox": [0.0, 10.0, 96.0, 20.5], "score": 0.75}
    (tmp_path / "p.json").write_text(json.dumps([result]))
    line = f"submit --predictions {tmp_path / 'p.json'} --data {shapes} --split val --output {tmp_path / 'out'}"
    assert main([*line.split(), "--kind", "voc", "--competition", "comp3", "--year", "VOC2007"]) == 0
    folder = tmp_path / "out/results/VOC2007/Main"
    text = (folder / f"comp3_det_test_{category['name']}.txt").read_text()
    assert text == f"{Path(image['file_name']).stem} 0.75 1.000 11.000 96.000 30.500\n"
    assert len(list(folder.iterdir())) == len(truth["categories"])


def test_the_coco_file_has_the_servers_name_and_rounded_numbers(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = json.loads((shapes / "annotations/instances_val.json").read_text())
    image, category = truth["images"][0]["id"], truth["categories"][0]["id"]
    result = {"image_id": image, "category_id": category, "bbox": [0.123456, 1.0, 2.0, 3.005], "score": 0.12345678}
    predictions = tmp_path / "p.json"
    predictions.write_text(json.dumps([result]))
    line = f"submit --predictions {predictions} --data {shapes} --split val --kind coco --output {tmp_path / 'out'}"
    assert main([*line.split(), "--algorithm", "frcnn-r101"]) == 0
    file = tmp_path / "out/detections_test-dev2017_frcnn-r101_results.json"
    assert json.loads(file.read_text())[0] == {**result, "bbox": [0.12, 1.0, 2.0, 3.0], "score": 0.12346}
    info = tmp_path / "image_info_test-dev2017.json"  # as COCO gives it: no annotations
    info.write_text(json.dumps({"images": truth["images"], "categories": truth["categories"]}))
    alone = f"submit --predictions {predictions} --data {info} --kind coco --output {tmp_path / 'alone'}"
    assert main(alone.split()) == 0
    assert (tmp_path / "alone/detections_test-dev2017_frcnn_results.json").read_bytes() == file.read_bytes()
    predictions.write_text(json.dumps([{**result, "image_id": 10**6}]))
    capsys.readouterr()
    for kind in ("voc", "coco"):
        assert main([*line.split()[:-2], "--kind", kind, "--output", str(tmp_path / "no")]) == 2
        error = capsys.readouterr().err
        assert "p.json" in error and "1000000" in error and error.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_names_that_no_file_may_have_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    none = VocDetections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    one = VocDetections(np.ones((1, 4)), np.ones(1, np.int64), np.ones(1))
    bad: list[tuple[list[str], dict[str, Any], str]] = [
        (["cat", "../dog"], {"cat": none}, "cannot be in a file name"),
        (["cat"], {"dog": none}, "class 'dog'"),
        (["cat"], {"cat": one}, "image 1 is not one of the 0"),
    ]
    for names, found, message in bad:
        with pytest.raises(InputError, match=message):
            write_voc_submission(tmp_path / "out", names, {}, found)
    with pytest.raises(InputError, match="COCO's server wants the name"):
        write_coco_submission(tmp_path / "mine.json", [])
    with pytest.raises(InputError, match="must be letters"):
        coco_submission_name("a/b")
    assert not list(tmp_path.iterdir())
