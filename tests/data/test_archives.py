"""Official archives: broken downloads go on, wrong ones are named and kept apart, nothing leaves its folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detection.cli.main import main
from detection.data import official
from detection.data.archives import Archive, obtain, unpack
from detection.data.locate import locate
from detection.data.official import Part, prepare
from detection.errors import InputError

XML = "<annotation><size><width>8</width><height>8</height></size><object><name>{}</name><bndbox><xmin>1</xmin>"
XML += "<ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"


class Server:
    """files: name -> content; ranges: whether it can resume; breaks: bytes after which the first answer stops;
    asked: (name, Range header) of each request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges, self.breaks = True, 0
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, asked = self.path.lstrip("/"), self.headers.get("Range")
            state.asked.append((name, asked))
            content = state.files.get(name)
            if content is None:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if asked and state.ranges else 200)
            if asked and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop, state.breaks = (start + state.breaks if state.breaks else len(content)), 0
            self.wfile.write(content[start:stop])

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


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
