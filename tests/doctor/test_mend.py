"""A mended copy passes the examination, keeps what was sound, logs each change, and leaves the original alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from detection.data.locate import locate
from detection.data.voc import write_voc
from detection.data.yolo import write_yolo
from detection.doctor.examine import examine
from detection.doctor.findings import RULES
from detection.doctor.mend import mend
from detection.errors import InputError


def digest(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.md5(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_mended_copy_passes_and_every_change_is_logged(flawed: Path, tmp_path: Path) -> None:
    before = digest(flawed)
    changes = mend(examine(locate(flawed)), tmp_path / "out")
    copy = examine(locate(tmp_path / "out"))
    assert copy.status == 0, [(f.rule, [i.text for i in f.items]) for f in copy.findings]
    assert digest(flawed) == before
    log = [json.loads(line) for line in (tmp_path / "out/changes.jsonl").read_text().splitlines()]
    assert len(log) == changes and {line["rule"] for line in log} >= {
        rule for rule, of in RULES.items() if of.mended and rule != "classes differ"
    }
    assert all(line["was"] and line["change"] for line in log)
    train = copy.parts["train"]
    assert train.class_names == ("cat", "dog", "bird", "fish")
    assert sorted(p.decode() for p in train.file_names) == ["1.jpg", "11.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert [120, 20, 40, 20] in train.xywh.tolist(), "cut off at the edge"
    assert (len(copy.parts["val"]), len(copy.parts["test"])) == (12, 11)


def test_mending_sound_data_changes_nothing(planted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source = locate(planted.write())
    assert mend(examine(source), tmp_path / "out") == 0
    again = locate(tmp_path / "out")
    for split in source.splits:
        assert again.read(split).xywh.tolist() == source.read(split).xywh.tolist()


@pytest.mark.parametrize("format", ["voc", "yolo"])
def test_the_copy_has_the_format_of_the_original(planted, format: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    planted.add(2, [10.5, 10, 50, 40])
    planted.add(3, [90, 90, 40, 29])
    planted.copy("val/1.jpg", "train/9.jpg")
    source = locate(planted.write())
    for split in source.splits:
        index = source.read(split)
        if format == "yolo":
            write_yolo(index, tmp_path / "in", split)
            shutil.copytree(planted.folder / split, tmp_path / f"in/images/{split}")
        else:  # as Roboflow exports it: a folder a split, and the same names in each
            write_voc(index, tmp_path / "aside", split)
            shutil.copytree(planted.folder / split, tmp_path / f"in/{split}")
            for xml in (tmp_path / "aside/Annotations").iterdir():
                xml.rename(tmp_path / f"in/{split}/{xml.name}")
    examination = examine(locate(tmp_path / "in"))
    assert examination.source.format == format and examination.status == 1
    mend(examination, tmp_path / "out")
    copy = examine(locate(tmp_path / "out"))
    assert copy.source.format == format and copy.status == 0
    assert {split: len(index) for split, index in copy.parts.items()} == {"train": 11, "val": 12, "test": 12}
    assert copy.parts["train"].labels.tolist().count(0) == examination.parts["train"].labels.tolist().count(0) - 2


def test_classes_that_differ_become_one_list(planted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    planted.content["val"]["categories"] = [{"id": 5, "name": "dog"}, {"id": 9, "name": "cat"}]
    planted.content["val"]["categories"].append({"id": 2, "name": "owl"})
    planted.content["test"]["annotations"][0]["category_id"] = 3
    planted.content["test"]["categories"].append({"id": 3, "name": "owl"})
    for row in planted.content["val"]["annotations"]:
        row["category_id"] = {1: 9, 2: 5}[row["category_id"]]
    examination = examine(locate(planted.write()))
    assert examination.status == 2 and examination.findings[0].rule == "classes differ"
    mend(examination, tmp_path / "out")
    val = locate(tmp_path / "out").read("val", ("cat", "dog"))
    assert val.labels.tolist() == [0, 1] * 12


def test_where_a_copy_may_not_go_is_said_and_nothing_is_written(planted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    examination = examine(locate(planted.write()))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for out, reason in ((planted.folder / "out", "is inside the dataset"), (tmp_path / "full", "is there already")):
        with pytest.raises(InputError, match=reason):
            mend(examination, out)
    planted.content["train"]["annotations"] = planted.content["val"]["annotations"] = []
    planted.content["test"]["annotations"] = []
    with pytest.raises(InputError, match="no image would be left"):
        mend(examine(locate(planted.write())), tmp_path / "none")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "full"]
