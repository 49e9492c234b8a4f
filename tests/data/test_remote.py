"""Datasets at an address are copied into the cache once, and brought up to date."""

from __future__ import annotations

import sys

import pytest
import trees
from archive_server import zipped

from detection.config.schema import Config, DatasetConfig
from detection.data.remote import is_remote, local_copy
from detection.errors import InputError
from detection.loading.datasets import find_data

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store in memory with a VOC folder in it."""
    monkeypatch.setenv("FRCNN_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    trees.pictures(tmp_path / "here/JPEGImages")
    for stem in "abc":
        trees.save(tmp_path / f"here/Annotations/{stem}.xml", trees.voc(stem))
    system.put(str(tmp_path / "here"), "/bucket/cats", recursive=True)
    local_copy.cache_clear()
    return system


def read(place: str, images: str | None = None) -> trees.Read:
    local_copy.cache_clear()  # as in another process
    return trees.seen(find_data(Config(data=place, dataset=DatasetConfig(images=images))).read("train"))


def test_a_folder_elsewhere_is_read_and_fetched_once(store, monkeypatch):
    assert read("memory://bucket/cats") == trees.truth()
    monkeypatch.setattr(type(store), "get_file", lambda *_, **__: pytest.fail("it is here already"))
    assert read("memory://bucket/cats") == trees.truth()


def test_what_changed_or_went_there_does_so_here(store):
    read("memory://bucket/cats")
    store.pipe("/bucket/cats/Annotations/b.xml", trees.voc("b").replace("dog", "cow").encode())
    store.rm("/bucket/cats/Annotations/c.xml")
    assert read("memory://bucket/cats") == trees.truth("a") | {"b": [("cow", trees.truth("b")["b"][0][1])]}


def test_images_elsewhere_than_their_annotations(store, tmp_path):
    boxes = trees.save(tmp_path / "boxes.json", trees.coco())
    assert read(str(boxes), "memory://bucket/cats/JPEGImages") == trees.truth()


def test_what_was_fetched_before_a_failure_is_kept(store, monkeypatch):
    fetch, broken = type(store).get_file, ["/bucket/cats/Annotations/c.xml"]

    def get_file(self, path, *rest, **more):
        if path in broken:
            raise OSError("connection lost")
        fetched.append(path)
        return fetch(self, path, *rest, **more)

    fetched: list[str] = []
    monkeypatch.setattr(type(store), "get_file", get_file)
    with pytest.raises(
        InputError, match=r"memory://bucket/cats: Annotations/c.xml: cannot be fetched \(connection lost\)"
    ):
        read("memory://bucket/cats")
    first = set(fetched)
    broken.clear(), fetched.clear()
    assert read("memory://bucket/cats") == trees.truth() and first and not first & set(fetched)


def test_an_archive_on_the_web(server, store):
    pytest.importorskip("aiohttp")
    files = {f"Annotations/{stem}.xml": trees.voc(stem).encode() for stem in "abc"}
    files |= {f"JPEGImages/{stem}.png": store.cat(f"/bucket/cats/JPEGImages/{stem}.png") for stem in "abc"}
    server.files["cats.zip"] = zipped(files)
    assert read(f"{server.url}/cats.zip") == trees.truth()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("memory://bucket/dogs", "there is nothing; give the address"),
        ("nowhere://bucket", "cannot be fetched .*nowhere"),
        ("http://127.0.0.1:9/cats.zip", "there is nothing; give the address"),
    ],
)
def test_what_cannot_be_fetched_is_refused(store, place, message):
    with pytest.raises(InputError, match=f"{place}: ({message})"):
        read(place)


def test_without_the_library_it_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"needs fsspec: pip install frcnn-toolkit\[remote\]"):
        read("memory://bucket/cats")


def test_paths_are_no_addresses():
    assert not any(map(is_remote, ("a/b", "/a://b", "C:/data", "C://data", "data:x")))
    assert is_remote("s3://bucket/a") and is_remote("https://host/a.zip")
