"""Which classes are learned, and which were not annotated in an image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trees

from detection.config.schema import InputConfig
from detection.data.classes import ClassChoice, tell_alike
from detection.data.coco import read_coco
from detection.data.dataset import DetectionDataset
from detection.data.index import AnnotationIndex
from detection.data.order import Draw
from detection.errors import InputError
from detection.evaluation.coco_ap import BACKENDS, evaluate_coco
from detection.evaluation.results import ground_truth
from detection.evaluation.voc_ap import evaluate_voc, voc_arrays


@pytest.fixture
def index(tmp_path: Path) -> AnnotationIndex:
    """Classes cat (id 3) and dog (7): a has one of each, b a dog, c a cat."""
    trees.pictures(tmp_path)
    return read_coco(trees.save(tmp_path / "boxes.json", trees.coco()))


def named(index: AnnotationIndex) -> list[list[str]]:
    """The classes of each image's objects."""
    return [[index.class_names[k] for k in index.labels[index.rows(i)]] for i in range(len(index))]


def test_some_classes_in_the_order_given(index):
    found, notes = ClassChoice(("dog", "cat")).of(index, strict=True)
    assert found.class_names == ("dog", "cat") and found.category_ids.tolist() == [7, 3] and not notes
    assert named(found) == named(index)
    found, notes = ClassChoice(("dog",)).of(index, strict=True)
    assert named(found) == [["dog"], ["dog"], []] and found.category_ids.tolist() == [7]
    assert notes == ["2 objects of other classes are left out: they are background"]
    assert np.array_equal(found.xywh, index.xywh[index.labels == 1])


def test_merged_classes_are_one_and_keep_an_id_of_their_own(index):
    into_new, _ = ClassChoice(merged={"cat": "pet", "dog": "pet"}).of(index, strict=True)
    assert named(into_new) == [["pet", "pet"], ["pet"], ["pet"]] and into_new.category_ids.tolist() == [3]
    into_old, _ = ClassChoice(merged={"cat": "dog"}).of(index, strict=True)
    assert into_old.class_names == ("dog",) and into_old.category_ids.tolist() == [7]
    swapped, _ = ClassChoice(merged={"cat": "dog", "dog": "cat"}).of(index, strict=True)
    assert named(swapped) == [["dog", "cat"], ["cat"], ["dog"]] and len(set(swapped.category_ids.tolist())) == 2
    single, _ = ClassChoice(("cat",), single=True).of(index, strict=True)
    assert named(single) == [["object"], [], ["object"]]


@pytest.mark.parametrize("choice", [ClassChoice(("dgo",)), ClassChoice(merged={"dgo": "pet"})])
def test_an_unknown_class_is_refused_with_the_nearest_but_another_split_may_lack_it(index, choice):
    with pytest.raises(InputError, match="no class 'dgo'; did you mean 'dog'?"):
        choice.of(index, strict=True)
    choice.of(index, strict=False)


def test_names_that_differ_only_by_case_or_spaces_are_told():
    assert tell_alike(("cat", "Cat ", "dog", "hot-dog", "hot dog")) == [
        "classes 'cat', 'Cat ' differ only by case, spaces or hyphens; --merge Cat =cat makes them one",
        "classes 'hot-dog', 'hot dog' differ only by case, spaces or hyphens; --merge hot dog=hot-dog makes them one",
    ]


@pytest.mark.parametrize(
    "text", ['{"b.png": ["cat"], "folder/c": ["*"], "z": ["dog"]}', "b.png,cat\nfolder/c,*\nz,dog\n"]
)
def test_images_with_unlabelled_classes(index, tmp_path, text):
    found, notes = ClassChoice(unlabelled=trees.save(tmp_path / "u.txt", text)).of(index, strict=True)
    assert found.unjudged.tolist() == [[False, False], [True, False], [True, True]] and "2 images" in notes[0]
    turned = found.in_classes(("dog", "bird", "cat"))
    assert turned.unjudged.tolist() == [[False] * 3, [False, False, True], [True, False, True]]
    assert found.select_images(np.array([2, 0])).unjudged.tolist() == [[True, True], [False, False]]
    single, _ = ClassChoice(single=True, unlabelled=tmp_path / "u.txt").of(index, strict=True)
    assert single.unjudged.tolist() == [[False], [True], [True]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"b": ["cow"]}', "no class 'cow'"),
        ('{"z": ["cat"]}', "none of its 1 image is in"),
        ('{"b": "cat"}', "b: 'cat' is no list"),
        ("{", "not JSON"),
        ("b\n", "names no class"),
        ("", "names no class"),
    ],
)
def test_a_file_of_unlabelled_classes_that_says_nothing_is_refused(index, tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        ClassChoice(unlabelled=trees.save(tmp_path / "u", text)).of(index, strict=True)


def unjudged(index: AnnotationIndex, *pairs: tuple[int, int]) -> AnnotationIndex:
    marked = np.zeros((len(index), len(index.class_names)), dtype=bool)
    for row, label in pairs:
        marked[row, label] = True
    return replace(index, unjudged=marked)


def detection(image: int, category: int, box: list[float], score: float = 0.9) -> dict[str, object]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_not_annotated_is_not_scored(index, backend):
    """A false cat in b, and the missed cat of a, cost nothing where cats were not annotated; a false dog does."""
    results = [detection(2, 3, [1.0, 2, 33, 44], 0.99), detection(3, 3, [50, 31, 21, 17])]
    results += [detection(1, 7, [40, 10, 30, 20]), detection(2, 7, [1, 2, 33, 44])]

    def cat_and_dog(index, results):
        found = evaluate_coco(ground_truth(index), results, backend).per_class
        return found["cat"]["AP"], found["dog"]["AP"]

    assert cat_and_dog(index, results)[0] < 0.5 and cat_and_dog(index, results)[1] == pytest.approx(1)
    spared = unjudged(index, (0, 0), (1, 0)).scored()
    assert cat_and_dog(spared, results) == pytest.approx((1, 1))
    assert cat_and_dog(spared, [*results, detection(2, 7, [50, 5, 9, 9], 1.0)])[1] < 1
    voc = evaluate_voc(*voc_arrays(spared, results)).per_class
    assert voc["cat"].ap_area == pytest.approx(1) and voc["cat"].detections == 1
    assert evaluate_voc(*voc_arrays(index, results)).per_class["cat"].ap_area < 0.6


def sample(index: AnnotationIndex, row: int):
    return DetectionDataset(index, InputConfig(augment=[]), training=True)[Draw(row, 0, 60)].target


def test_a_target_says_what_was_not_annotated(index):
    some = unjudged(index, (1, 0))
    assert sample(some, 1).unjudged.tolist() == [0] and not sample(some, 1).background
    assert sample(some, 0).unjudged is None and sample(some, 0).background
    kept = sample(some, 1).to(torch.device("cpu"))
    assert kept.unjudged.tolist() == [0] and not kept.background
    all_partly = unjudged(index, (0, 0), (1, 0), (2, 1))
    assert sample(all_partly, 1).unjudged.tolist() == [0] and sample(all_partly, 1).background


def test_the_scores_of_a_run_follow_the_choice_of_its_config(shapes, tiny, tmp_path, capsys):
    """What `frcnn evaluate` loads from a checkpoint is what its run was validated on."""
    from detection.cli.main import main

    run, out = tmp_path / "run", tmp_path / "out"
    choice = ["--merge", "circle=round,ring=round", "--classes", "round,star"]
    unlabelled = trees.save(tmp_path / "u.json", {"000001": ["star"]})
    assert main(["train", *tiny, f"--data={shapes}", f"--output={run}", *choice, f"--unlabelled={unlabelled}"]) == 0
    assert "1 image with classes that were not annotated there" in capsys.readouterr().out
    assert main(["evaluate", f"--checkpoint={run / 'best.pt'}", f"--output={out}"]) == 0
    before, after = (json.loads((folder / "evaluation.json").read_text()) for folder in (run, out))
    assert set(before["per_class"]) == {"round", "star"}
    assert {key: before[key] for key in ("stats", "objects", "per_class")} == {
        key: after[key] for key in ("stats", "objects", "per_class")
    }
    refused = ["train", *tiny, f"--data={shapes}", f"--output={run}", "--resume", "--classes=star"]
    assert main(refused) == 2 and "dataset.classes" in capsys.readouterr().err
