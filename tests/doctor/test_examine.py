"""Every planted flaw is found, where it is; sound data has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.data.locate import locate
from detection.doctor.examine import examine
from detection.doctor.findings import RULES
from detection.errors import InputError

WANTED = {
    "structure": ["category_id"],
    "image missing": ["image 6.jpg is missing"],
    "image unreadable": ["image 7.jpg is broken"],
    "image size": ["image 8.jpg is 160x120 but annotated as 150x120"],
    "empty box": ["image 1.jpg: annotation 25 (cat) is empty"],
    "box outside": ["annotation 26 (cat) sticks out", "annotation 27 (cat) sticks out"],
    "shared image": ["image 9.jpg is also val 1.jpg"],
    "similar split": ["image 12.jpg looks like test 5.jpg"],
    "copy differs": ["image 10.jpg is a copy of train 11.jpg, 2 objects here and 3 there"],
    "copy": ["image 3.jpg is a copy of test 2.jpg"],
    "duplicate box": ["annotation 28 (cat) repeats annotation 3 (cat), IoU 0.98"],
    "class names": ["class 'Dog ' looks like 'dog'"],
    "class untrained": ["class 'bird' has 1 object in val and none in train"],
    "double class": ["annotation 29 (dog) lies on annotation 5 (cat), IoU 0.98"],
    "tiny box": ["annotation 31 (cat) is 2"],
    "whole image": ["annotation 30 (cat) covers 100 % of it"],
    "no objects": ["image 8.jpg has no objects"],
}


def test_every_planted_flaw_is_found_where_it_is(flawed: Path) -> None:
    examination = examine(locate(flawed))
    found = {finding.rule: [item.text for item in finding.items] for finding in examination.findings}
    for rule, texts in WANTED.items():
        for text in texts:
            assert any(text in line for line in found.get(rule, [])), (rule, found.get(rule))
        assert len(found[rule]) == len(texts), (rule, found[rule])
    assert set(found) - set(WANTED) <= {"class unused", "class rare", "odd size", "odd shape", "extreme shape"}
    assert examination.status == 2 and list(found) == [rule for rule in RULES if rule in found]


def test_severities_decide_the_status(planted) -> None:  # type: ignore[no-untyped-def]
    assert examine(locate(planted.write())).status == 0
    planted.add(2, [10.5, 10, 50, 40])
    assert examine(locate(planted.write())).status == 1
    planted.add(2, [10.5, 10, 0, 40])
    assert examine(locate(planted.write())).status == 2


def test_quick_reads_headers_only_and_says_what_it_did_not_look_for(planted) -> None:  # type: ignore[no-untyped-def]
    planted.copy("train/1.jpg", "train/2.jpg")
    whole = (planted.folder / "train/3.jpg").read_bytes()
    (planted.folder / "train/3.jpg").write_bytes(whole[:-200])
    source = locate(planted.write())
    assert {f.rule for f in examine(source).findings} >= {"copy", "image unreadable"}
    assert not {f.rule for f in examine(source, quick=True).findings} & {"copy", "image unreadable"}


def test_trainval_is_no_leak_but_a_validation_split_within_training_is(shared: Path, planted) -> None:  # type: ignore[no-untyped-def]
    bccd = examine(locate(shared / "data/bccd"))
    assert bccd.unions == {"trainval": ["train", "val"]}
    counts = {finding.rule: len(finding.items) for finding in bccd.findings}
    assert counts["empty box"] == 2 and counts["duplicate box"] == 7 and "shared image" not in counts
    planted.content["val"] = planted.content["train"]
    for i in range(1, 13):
        planted.copy(f"train/{i}.jpg", f"val/{i}.jpg")
    shared_images = next(f for f in examine(locate(planted.write())).findings if f.rule == "shared image")
    assert [item.split for item in shared_images.items] == ["train"] * 12


def test_a_split_that_cannot_be_read_is_a_finding_unless_none_can(planted) -> None:  # type: ignore[no-untyped-def]
    folder = planted.write()
    (folder / "annotations/instances_val.json").write_text("{")
    examination = examine(locate(folder))
    assert list(examination.parts) == ["train", "test"] and examination.status == 2
    assert "instances_val.json: not a JSON file" in examination.findings[0].items[0].text
    for name in ("train", "test"):
        (folder / f"annotations/instances_{name}.json").write_text("{")
    with pytest.raises(InputError, match="not a JSON file"):
        examine(locate(folder))


def test_the_advice_is_never_worse_than_what_training_chooses(shared: Path) -> None:
    for name in ("bccd", "coco_tiny"):
        advice = examine(locate(shared / f"data/{name}"), quick=True).advice
        totals = [sum(row.recall.values()) for row in advice if row.anchors.short_side == advice[-1].anchors.short_side]
        assert totals[-1] == max(totals) and not np.isnan(totals).any()
