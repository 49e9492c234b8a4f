from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.data.check import check_index
from detection.data.locate import locate
from detection.data.shapes import CLASS_NAMES, _place, _side, default_cache, write_shapes
from detection.errors import InputError


def test_the_dataset_reads_and_checks(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "shapes", train=60, val=2)
    source = locate(folder)
    index, report = check_index(source.read("train"), "error", decode=True)
    assert list(source.splits) == ["train", "val"] and len(index) == 60 and report == []
    assert index.class_names == CLASS_NAMES and set(index.labels.tolist()) == set(range(6))
    assert np.diff(index.offsets).min() >= 1 and np.diff(index.offsets).max() <= 6
    shares = np.histogram(index.areas, [0, 32**2, 96**2, np.inf])[0] / len(index.areas)
    assert shares.min() > 0.05, f"small, medium and large objects: {shares}"


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few = write_shapes(tmp_path / "few", train=2, val=1, size=240)
    more = write_shapes(tmp_path / "more", train=3, val=1, size=240)
    for name in ("train/000001.jpg", "train/000002.jpg", "val/000001.jpg"):
        assert (few / name).read_bytes() == (more / name).read_bytes()
    assert (few / "train/000001.jpg").read_bytes() != (few / "val/000001.jpg").read_bytes()


def test_small_pictures_are_drawn_too(tmp_path: Path) -> None:
    index = locate(write_shapes(tmp_path / "shapes", train=5, val=1, size=64)).read("train")
    assert check_index(index, "error", decode=True)[1] == [] and index.sizes.max() == 64
    with pytest.raises(InputError, match="5 and 0 images of 64 pixels; each split takes 1 image"):
        write_shapes(tmp_path / "none", train=5, val=0, size=64)


def test_a_finished_folder_is_kept_another_is_replaced_a_foreign_one_refused(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "shapes", train=1, val=1)
    before = (folder / "train/000001.jpg").stat().st_mtime_ns
    write_shapes(folder, train=1, val=1)
    assert (folder / "train/000001.jpg").stat().st_mtime_ns == before
    write_shapes(folder, train=2, val=1)
    assert (folder / "train/000002.jpg").is_file() and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(InputError, match="mine: holds something other than generated shapes"):
        write_shapes(tmp_path / "mine", train=1, val=1)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="shapes: cannot be written"):
        write_shapes(tmp_path / "file/shapes", train=1, val=1)


def test_boxes_are_tight() -> None:
    for seed in range(100):
        generator = np.random.default_rng(seed)
        shape = _place(256, _side(generator), generator)
        ys, xs = np.nonzero(shape.mask > 127)
        edges = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        name = CLASS_NAMES[shape.label]
        slack = 1 if name in ("circle", "ring") else 3.5  # a pointed corner fades out before its tip
        assert np.abs(np.array(edges) - shape.box).max() <= slack, name
        assert min(shape.box) >= 0 and max(shape.box) <= 256


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("FRCNN_CACHE", "/f")
    assert default_cache() == Path("/f")
    monkeypatch.delenv("FRCNN_CACHE")
    assert default_cache() == Path("/x/frcnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache/frcnn"
