"""Official datasets: laid out from their archives as the papers' protocols want them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from archive_server import Server, tarred, zipped

from detection.cli.main import main
from detection.data import official
from detection.data.archives import Archive
from detection.data.locate import locate
from detection.data.official import Part, prepare

XML = "<annotation><size><width>8</width><height>8</height></size><object><name>{}</name><bndbox><xmin>1</xmin>"
XML += "<ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"


def voc(year: str, lists: dict[str, list[str]]) -> bytes:
    root = f"VOCdevkit/{year}"
    files = {f"{root}/ImageSets/Main/{name}.txt": "\n".join(stems).encode() for name, stems in lists.items()}
    for stems in lists.values():
        files |= {f"{root}/Annotations/{stem}.xml": XML.format("cat").encode() for stem in stems}
        files |= {f"{root}/JPEGImages/{stem}.jpg": stem.encode() for stem in stems}
    return tarred(files)


@pytest.fixture
def datasets(server: Server) -> dict[str, tuple[Part, ...]]:
    """The official datasets with their folders and names, but small and from `server`."""
    contents = {
        "VOCtrainval_06-Nov-2007.tar": voc("VOC2007", {"trainval": ["000001", "000002"]}),
        "VOCtest_06-Nov-2007.tar": voc("VOC2007", {"test": ["000003"]}),
        "VOCtrainval_11-May-2012.tar": voc("VOC2012", {"trainval": ["2008_000001"]}),
    }
    for year in (2014, 2017):
        names = [f"annotations/instances_{split}{year}.json" for split in ("train", "val")]
        more = f"annotations/captions_val{year}.json"
        contents[f"annotations_trainval{year}.zip"] = zipped(dict.fromkeys([*names, more], b"{}"))
        for split in ("train", "val"):
            contents[f"{split}{year}.zip"] = zipped({f"{split}{year}/1.jpg": b"1"})
    server.files |= contents

    def local(archive: Archive) -> Archive:
        content = contents[archive.name]
        return Archive(archive.name, f"{server.url}/{archive.name}", hashlib.md5(content).hexdigest())

    return {
        name: tuple(Part(p.folder, tuple(map(local, p.archives)), p.root, p.merged) for p in parts)
        for name, parts in official.DATASETS.items()
    }


def test_voc_is_laid_out_with_the_unions_of_the_protocols(
    server: Server, datasets: dict[str, tuple[Part, ...]], tmp_path: Path
) -> None:
    made = prepare(["voc07", "voc12"], tmp_path, datasets=datasets)
    devkit = tmp_path / "VOCdevkit"
    assert made == {devkit / name: True for name in ("VOC2007", "VOC2012", "VOC0712")}
    source = locate(devkit / "VOC0712")
    assert {name: source.read(name).stems() for name in source.splits} == {
        "trainval": ["000001", "000002", "2008_000001"],
        "test": ["000003"],
        "07++12": ["000001", "000002", "000003", "2008_000001"],
    }
    index = source.read("07++12")
    assert [index.path(i).read_text() for i in range(4)] == index.stems()
    asked = len(server.asked)
    assert not any(prepare(["voc07", "voc12"], tmp_path, datasets=datasets).values()) and len(server.asked) == asked


def test_both_years_of_coco_share_the_annotations_folder(
    server: Server, datasets: dict[str, tuple[Part, ...]], tmp_path: Path
) -> None:
    assert all(prepare(["coco2017"], tmp_path, datasets=datasets).values())
    assert set(locate(tmp_path / "coco").splits) == {"train", "val"}
    made = prepare(["coco2014", "coco2017"], tmp_path, datasets=datasets)
    assert {path.name: new for path, new in made.items()} == {
        "annotations": True,
        "train2014": True,
        "val2014": True,
        "train2017": False,
        "val2017": False,
    }
    assert len(list((tmp_path / "coco/annotations").iterdir())) == 6
    assert (tmp_path / "coco/train2014/1.jpg").read_bytes() == b"1"
    assert sorted(path.name for path in (tmp_path / "coco").iterdir())[0] == "annotations"
    asked = len(server.asked)
    assert not any(prepare(["coco2014", "coco2017"], tmp_path, datasets=datasets).values())
    assert len(server.asked) == asked


def test_the_script_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, named in (
        (f"coco2015 --output {tmp_path}", "there is no dataset 'coco2015'; choose of voc07, voc12, coco2014, coco2017"),
        (f"voc07 --output {tmp_path} --archives {tmp_path / 'none'}", "none: there is no such folder"),
        ("voc07", "--output"),
    ):
        assert main(["prepare-data", *line.split()]) == 2
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_passes_on_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def made(*given: object) -> dict[Path, bool]:
        asked.append(given[:3])
        return {tmp_path / "coco": True}

    monkeypatch.setattr("detection.cli.prepare_data.prepare", made)
    assert main(["prepare-data", "voc07", "coco2017", "--output", "a", "--archives", "b"]) == 0
    assert asked == [(["voc07", "coco2017"], Path("a"), Path("b"))]
