"""Official archives: broken downloads go on, wrong ones are named and kept apart, nothing leaves its folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_server import Server, tarred, zipped

from detection.data.archives import Archive, obtain, unpack
from detection.errors import InputError


@pytest.fixture
def archive(server: Server) -> Archive:
    content = zipped({"val/a.jpg": bytes(range(256)) * 40, "val/b.jpg": b"b" * 3000})
    server.files["val.zip"] = content
    return Archive("val.zip", f"{server.url}/val.zip", hashlib.md5(content).hexdigest())


def test_a_fresh_download_is_verified_and_reported(server: Server, archive: Archive, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = obtain(archive, tmp_path / "new", progress=lambda *step: seen.append(step))
    assert path.read_bytes() == server.files["val.zip"] and [p.name for p in path.parent.iterdir()] == ["val.zip"]
    size = path.stat().st_size
    assert ("fetching val.zip", size, size) in seen and ("verifying val.zip", size, size) in seen


@pytest.mark.parametrize("ranges", [True, False])
def test_a_half_download_goes_on_where_the_server_can(
    server: Server, archive: Archive, tmp_path: Path, ranges: bool
) -> None:
    server.ranges = ranges
    (tmp_path / "val.zip.part").write_bytes(server.files["val.zip"][:5000])
    assert obtain(archive, tmp_path).read_bytes() == server.files["val.zip"]
    assert server.asked == [("val.zip", "bytes=5000-")]


def test_a_whole_part_is_not_fetched_again_and_a_longer_one_is(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    part, content = tmp_path / "val.zip.part", server.files["val.zip"]
    part.write_bytes(content)
    assert obtain(archive, tmp_path).read_bytes() == content
    (tmp_path / "val.zip").unlink()
    part.write_bytes(content + b"more")
    assert obtain(archive, tmp_path, retry_seconds=(0.0,)).read_bytes() == content


def test_a_broken_connection_is_tried_again_from_there(server: Server, archive: Archive, tmp_path: Path) -> None:
    server.breaks = 4000
    assert obtain(archive, tmp_path, retry_seconds=(0.0,)).read_bytes() == server.files["val.zip"]
    assert [asked for _, asked in server.asked] == [None, "bytes=4000-"]


@pytest.mark.parametrize("with_sum", [True, False])
def test_a_corrupt_download_is_kept_apart_and_said(
    server: Server, archive: Archive, tmp_path: Path, with_sum: bool
) -> None:
    content = bytearray(server.files["val.zip"])
    content[100] ^= 1
    server.files["val.zip"] = bytes(content)
    wrong = archive if with_sum else Archive(archive.name, archive.url)
    with pytest.raises(InputError, match=r"val\.zip\.corrupt: .*(MD5|damaged in val/a\.jpg).*run again"):
        obtain(wrong, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["val.zip.corrupt"]


def test_without_a_network_or_a_file_the_url_and_the_place_are_named(server: Server, tmp_path: Path) -> None:
    for url in (f"{server.url}/none.zip", "http://127.0.0.1:9/none.zip"):
        with pytest.raises(InputError) as refused:
            obtain(Archive("none.zip", url), tmp_path, retry_seconds=())
        assert url in str(refused.value) and str(tmp_path / "none.zip") in str(refused.value)
        assert not list(tmp_path.iterdir())


def test_an_archive_on_disk_is_taken_or_refused_by_name(server: Server, archive: Archive, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "val.zip").write_bytes(server.files["val.zip"])
    assert obtain(archive, tmp_path / "new", mine) == mine / "val.zip" and not server.asked
    (mine / "val.zip").write_bytes(b"other")
    with pytest.raises(InputError, match="mine/val.zip: has MD5"):
        obtain(archive, tmp_path / "new", mine)


def hostile_tar(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        archive.addfile(member)
    return buffer.getvalue()


def hostile_zip(name: str, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", hostile_tar("data/../../escaped")),
        ("a.tar", hostile_tar("/escaped")),
        ("a.tar", hostile_tar("data/link", tarfile.SYMTYPE, "/etc")),
        ("a.tar", hostile_tar("data/link", tarfile.LNKTYPE, "../x")),
        ("a.tar", hostile_tar("data/pipe", tarfile.FIFOTYPE)),
        ("a.zip", hostile_zip("data/../../escaped")),
        ("a.zip", hostile_zip("/escaped")),
        ("a.zip", hostile_zip("data/link", stat.S_IFLNK | 0o777)),
        ("a.zip", b"no archive"),
        ("a.tar", tarred({"elsewhere/a": b"a"})),
    ],
)
def test_what_would_leave_the_folder_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        unpack([tmp_path / name], tmp_path / "inside/data", "data")
    assert [path.name for path in tmp_path.rglob("*")] in ([name, "inside"], ["inside", name])


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar"])
def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detection.files.bounds.FREE", 1 << 20)
    path, zeros = tmp_path / f"bomb.{kind}", bytes(8 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("data/a", zeros)
    elif kind == "tar.gz":
        path.write_bytes(gzip.compress(tarred({"data/a": zeros})))
    else:  # a hole of eight gigabytes, as GNU tar writes sparse files
        member = tarfile.TarInfo("data/a")
        member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
        header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
        header[386:410] = b"%011o\0%011o\0" % (8 << 30, 0)
        header[483:495] = b"%011o\0" % (8 << 30)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        path.write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(InputError, match=f"bomb.{kind}: cannot be unpacked .it unpacks to more than"):
        unpack([path], tmp_path / "out/data", "data")
    assert not (tmp_path / "out/data").exists()
