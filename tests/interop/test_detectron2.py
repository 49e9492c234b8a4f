from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.errors import InputError
from detection.interop.zoo_pickle import read_zoo_pickle


class Hostile:
    """Unpickling it without restriction would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["r50_fpn", "r50_c4", "r50_dc5", "r50_fpn_options"])
def test_reads_files_of_old_and_new_numpy(shared: Path, name: str) -> None:
    folder = shared / "fixtures" / "detectron2" / name
    weights = read_zoo_pickle(folder / "model.pkl")
    shapes = json.loads((folder / "outputs.json").read_bytes())["parameters"]
    assert {key: list(weights[key].shape) for key in shapes} == shapes
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL))
def test_reads_every_protocol_and_a_bare_dict(tmp_path: Path, protocol: int) -> None:
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((), np.int64)}
    for content in (weights, {"model": weights, "__author__": "someone"}):
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        got = read_zoo_pickle(tmp_path / "model.pkl")
        assert list(got) == ["a", "b"]
        np.testing.assert_array_equal(got["a"], weights["a"])


def test_hostile_pickle_is_refused_unrun(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"model": {"a": Hostile(tmp_path / "made")}}))
    with pytest.raises(InputError, match=r"model.pkl: refused, it asks for posix.mkdir"):
        read_zoo_pickle(tmp_path / "model.pkl")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [b"c__builtin__\neval\n(V1\ntR.", b"cnumpy\nsave\n.", b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.copy\x93."],
)
def test_only_the_listed_globals_are_given(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(InputError, match="refused, it asks for"):
        read_zoo_pickle(tmp_path / "model.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a detectron2 weights file"),
        (b"PK\x03\x04 a zip", "not a detectron2 weights file"),
        (pickle.dumps([1, 2]), "holds no dict of weights"),
        (pickle.dumps({"model": [1]}), "holds no dict of weights"),
        (pickle.dumps({"model": {"a": "text"}}), "'a' is no numeric array"),
        (pickle.dumps({"model": {"a": np.array([{}], dtype=object)}}), "'a' is no numeric array"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(InputError, match=f"model.pkl: {message}"):
        read_zoo_pickle(tmp_path / "model.pkl")
    with pytest.raises(InputError, match="none.pkl: cannot be read"):
        read_zoo_pickle(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\xff.",  # a memory slot so far off that reaching it takes gigabytes
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes without end
        pickle.dumps({"model": {"a": np.zeros(3)}}).replace(b"f8", b"V8"),
    ],
)
def test_what_would_fill_the_memory_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(InputError, match="model.pkl: "):
        read_zoo_pickle(tmp_path / "model.pkl")


@pytest.mark.parametrize("kind", [">f4", "<f2", "i8", "u1", "?"])
def test_numbers_of_every_kind_and_order_come_back(tmp_path: Path, kind: str) -> None:
    value = np.asfortranarray(np.arange(6).reshape(2, 3).astype(kind))
    for protocol in range(5):
        (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": value}, protocol=protocol))
        got = read_zoo_pickle(tmp_path / "model.pkl")["a"]
        assert got.dtype == value.dtype and np.array_equal(got, value)
