"""What a checkpoint survives: damage of any byte, a kill at any operation, a full disk."""

import errno
import io
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection import checkpoint
from detection.errors import InputError
from detection.files.atomic import remove_leftovers


def content(iteration=1):
    state = {"w": torch.full((50,), float(iteration))}
    return {"task": "detection", "config": {}, "classes": ["a"], "iteration": iteration, "model": state}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "last.pt"
    checkpoint.save(path, content())
    return path.read_bytes()


def is_refused(folder, data):
    path = folder / "damaged.pt"
    path.write_bytes(data)
    with pytest.raises(checkpoint.DamagedCheckpoint, match="damaged.pt: (damaged|not a readable)"):
        checkpoint.load(path, "detection")
    return True


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_found(whole, tmp_path_factory, place, bit):
    data = bytearray(whole)
    data[place % len(data)] ^= 1 << bit
    assert is_refused(tmp_path_factory.getbasetemp(), bytes(data))


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10**6))
def test_a_cut_anywhere_is_found(whole, tmp_path_factory, place):
    assert is_refused(tmp_path_factory.getbasetemp(), whole[: place % len(whole)])


def test_torch_alone_reads_a_checkpoint(whole, tmp_path):
    (tmp_path / "a.pt").write_bytes(whole)
    assert torch.load(tmp_path / "a.pt", weights_only=True)["iteration"] == 1


def save(folder, iteration):
    checkpoint.save(folder / "last.pt", content(iteration), folder / "previous.pt")


def test_a_damaged_checkpoint_gives_way_to_the_one_before_which_then_is_safe(tmp_path):
    save(tmp_path, 1), save(tmp_path, 2)
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:-300])
    found, warning = checkpoint.load_newest(tmp_path, "detection")
    assert found["iteration"] == 1 and warning.startswith(f"warning: {tmp_path / 'last.pt'}: not a readable checkpoint")
    assert warning.endswith("resuming from previous.pt, of iteration 1") and warning.count("\n") == 0
    checkpoint.replace_newest(tmp_path)
    assert checkpoint.load(tmp_path / "last.pt", "detection")["iteration"] == 1, "the next save keeps a whole one"
    for name in ("last.pt", "previous.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="previous.pt: not a readable checkpoint"):
        checkpoint.load_newest(tmp_path, "detection")


OPERATIONS = ("open", "fsync", "link", "replace", "unlink", "close")
KILLED = """
import builtins, io, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_checkpoint as t
t.torch.set_num_threads(1)
folder = Path(sys.argv[1])
t.save(folder / "0", 1), t.save(folder / "0", 2)
import shutil
calls = 0
def counted(real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == limit:
            os._exit(9)
        return real(*args, **kwargs)
    return call
limit = 1
while True:
    shutil.copytree(folder / "0", folder / str(limit))
    child = os.fork()
    if child == 0:
        for name in t.OPERATIONS:
            setattr(os, name, counted(getattr(os, name)))
        io.open = counted(io.open)
        t.save(folder / str(limit), 3)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    limit += 1
print(limit)
"""


def test_a_kill_at_any_file_operation_of_a_save_leaves_a_whole_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "", os.path.dirname(__file__)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps >= 8
    seen = set()
    for step in range(1, steps + 1):
        found, warning = checkpoint.load_newest(tmp_path / str(step), "detection")
        assert found["iteration"] in (2, 3) and not warning
        assert checkpoint.load(tmp_path / str(step) / "previous.pt", "detection")["iteration"] in (1, 2)
        seen.add(found["iteration"])
        remove_leftovers(tmp_path / str(step))
        assert {p.name for p in (tmp_path / str(step)).iterdir()} == {"last.pt", "previous.pt"}
    assert seen == {2, 3}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_at_any_operation_is_one_line_and_leaves_what_was(tmp_path, monkeypatch, code):
    """Every file operation of a save fails once; the last whole checkpoint stays, and no half one does."""
    for fails in range(1, 14):
        folder = tmp_path / str(fails)
        save(folder, 1), save(folder, 2)
        calls = 0

        def failing(real):
            def call(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == fails:  # noqa: B023
                    raise OSError(code, os.strerror(code))
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in ("fsync", "link", "replace", "open"):
                patch.setattr(os, name, failing(getattr(os, name)))
            patch.setattr(io, "open", failing(io.open))
            try:
                save(folder, 3)
            except InputError as error:
                assert str(error).startswith(f"{folder / 'last.pt'}: cannot be written ({os.strerror(code)}); ")
        found, warning = checkpoint.load_newest(folder, "detection")
        assert found["iteration"] in (2, 3) and not warning
        assert {p.name for p in folder.iterdir()} == {"last.pt", "previous.pt"}
    assert fails > calls, "every operation had its turn"
