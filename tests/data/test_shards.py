"""Parquet files and WebDataset's tars are unpacked once and read as what they hold."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import trees
from PIL import Image

from detection.data.locate import locate
from detection.errors import InputError
from detection.predict.collect import collect_images

CAT_AND_DOG = ["cat", "dog"]


def picture(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (trees.WIDTH, trees.HEIGHT)).save(buffer, kind)
    return buffer.getvalue()


def parquet(path: Path, stems: str, names: bool = True, listed: bool = False, content: bytes | None = None) -> Path:
    """As `datasets` saves it; names: whether the classes are numbers that the schema names; listed: a list of structs,
    as new versions have it, rather than a struct of lists."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = []
    for stem in stems:
        labels = [CAT_AND_DOG.index(name) if names else name for name, _ in trees.TRUTH[stem]]
        boxes = [[float(value) for value in box] for _, box in trees.TRUTH[stem]]
        objects: Any = {"bbox": boxes, "category": labels}
        if listed:
            objects = [{"bbox": box, "category": label} for box, label in zip(boxes, labels)]
        image = {"bytes": picture() if content is None else content, "path": f"{stem}.png"}
        rows.append({"image_id": ord(stem), "image": image, "objects": objects})
    table = pa.Table.from_pylist(rows)
    if names:
        category: Any = {"names": CAT_AND_DOG, "_type": "ClassLabel"}
        features = {"feature": {"category": category, "bbox": {"_type": "Sequence"}}, "_type": "Sequence"}
        told = {"info": {"features": {"image": {"_type": "Image"}, "objects": features}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def read(path: Path, split: str = "train") -> list[list[tuple[str, list[float]]]]:
    found = trees.seen(locate(path).read(split))
    return [found[stem] for stem in sorted(found)]


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_parquet_files_of_a_repository(tmp_path, names, listed):
    root = tmp_path / "repo"
    parquet(root / "data/train-00000-of-00002.parquet", "a", names, listed)
    parquet(root / "data/train-00001-of-00002.parquet", "b", names, listed)
    parquet(root / "data/validation-00000-of-00001.parquet", "c", names, listed)
    (root / "README.md").write_text("cats and dogs")
    assert read(root) == [trees.TRUTH[stem] for stem in "ab"] and read(root, "val") == [trees.TRUTH["c"]]
    note = locate(root).found
    assert (
        "metadata.jsonl" in note and (tmp_path / "repo.unpacked").is_dir() and str(tmp_path / "repo.unpacked") in note
    )


def test_one_parquet_file_is_unpacked_once(tmp_path):
    file = parquet(tmp_path / "train.parquet", "abc")
    assert read(file) == list(trees.TRUTH.values())
    file.write_bytes(file.read_bytes()[:40])
    assert read(file) == list(trees.TRUTH.values())


def test_a_parquet_file_that_holds_no_boxes_is_refused(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pylist([{"text": "hello"}]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a.parquet: has the columns text; a dataset of boxes has"):
        locate(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"b.parquet: row 0 has no image in it"):
        locate(parquet(tmp_path / "b.parquet", "a", content=b""))
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"c.parquet: cannot be unpacked"):
        locate(tmp_path / "c.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"c.parquet: is parquet, which needs pyarrow: pip install"):
        locate(tmp_path / "c.parquet")
    assert not list(tmp_path.glob("*.unpacked")) and not list(tmp_path.glob(".*.tmp"))


def test_the_images_of_a_table_without_boxes(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"photo": {"bytes": picture(), "path": f"{name}.png"}, "camera": 1} for name in "ba"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = collect_images([str(tmp_path / "a.parquet")]).images
    assert [path.name for path in found] == ["0000000_b.png", "0000001_a.png"] and found[0].read_bytes() == picture()
    assert collect_images([str(tmp_path / "a.parquet")]).images == found
    assert len(collect_images([str(parquet(tmp_path / "b.parquet", "abc"))]).images) == 3  # boxes do not matter
    pq.write_table(pa.Table.from_pylist([{"text": "hello"}]), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="c.parquet: has the columns text; none has images' bytes"):
        collect_images([str(tmp_path / "c.parquet")])


def shard(path: Path, files: dict[str, str | bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def labelme(stem: str) -> str:
    shapes = [
        {"label": name, "shape_type": "rectangle", "points": [corners[:2], corners[2:]]}
        for name, corners in ((name, trees.corners(box)) for name, box in trees.TRUTH[stem])
    ]
    content = {"shapes": shapes, "imagePath": f"{stem}.png", "imageHeight": trees.HEIGHT, "imageWidth": trees.WIDTH}
    return json.dumps(content)


@pytest.mark.parametrize(("ending", "text"), [("xml", trees.voc), ("json", labelme)])
def test_shards_of_webdataset(tmp_path, ending, text):
    """Samples are files of one stem, whose keys two shards may share."""
    for split, number, stems in (("train", 0, "a"), ("train", 1, "b"), ("val", 0, "c")):
        files = {
            f"{stem}.{kind}": content for stem in stems for kind, content in (("png", picture()), (ending, text(stem)))
        }
        shard(tmp_path / f"shards/{split}-{number:06d}.tar", files)
    assert read(tmp_path / "shards") == [trees.TRUTH[stem] for stem in "ab"]
    assert read(tmp_path / "shards", "val") == [trees.TRUTH["c"]]
    assert (tmp_path / "shards.unpacked/train/train-000001/b.png").is_file()


def test_a_shard_that_would_write_elsewhere_is_refused(tmp_path):
    shard(tmp_path / "shards/train-0.tar", {"a.png": picture(), "a.xml": trees.voc("a")})
    shard(tmp_path / "shards/train-1.tar", {"../b.png": picture()})
    with pytest.raises(InputError, match="train-1.tar: member '../b.png' would leave its folder"):
        locate(tmp_path / "shards")
    assert not (tmp_path / "shards.unpacked").exists()
